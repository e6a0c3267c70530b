from __future__ import annotations

import pytest

from infra.settings import Settings
from tests.warehouse.lake import Lake


@pytest.fixture
def lake(settings: Settings) -> Lake:
    return Lake(settings)


@pytest.fixture
def published(lake: Lake) -> Lake:
    """One publish, in force."""
    lake.publish("p1")
    return lake
