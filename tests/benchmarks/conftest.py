"""What the tests of the benchmarks share."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from benchmarks.fold import PEERS


@pytest.fixture(scope="session")
def work() -> Any:
    """The peers' module, which they find beside themselves."""
    sys.path.insert(0, str(PEERS))
    try:
        import work
    finally:
        sys.path.remove(str(PEERS))
    return work
