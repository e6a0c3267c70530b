"""Exposures: which arm a viewer meets, reported where the arms differ, when a session begins to load."""

from __future__ import annotations

import random

from schemas.events.experiments import Exposure
from schemas.fact import from_ms
from streams.intake.simulation.viewers import EXPERIMENT, Viewer


def exposure(ids: random.Random, viewer: Viewer, session_id: str, content_id: str, at_ms: int) -> Exposure:
    """The arm is the one that `experiments` of the viewer's other events names."""
    return Exposure(
        timestamp=from_ms(at_ms),
        event_id=f"{ids.getrandbits(96):024x}",
        session_id=session_id,
        content_id=content_id,
        experiment=EXPERIMENT,
        arm=viewer.arm,
        unit="user",
        version="1",
        allocation=0.5,
        assigned_by="random",
        **viewer.labels,
    )
