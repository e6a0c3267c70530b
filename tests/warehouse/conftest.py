from __future__ import annotations

import pytest

from infra.settings import Settings
from tests.conftest import isolated_settings
from tests.warehouse.lake import Lake


@pytest.fixture
def lake(settings: Settings) -> Lake:
    return Lake(settings)


@pytest.fixture
def published(lake: Lake) -> Lake:
    """One publish, in force."""
    lake.publish("p1")
    return lake


@pytest.fixture(scope="module")
def standing_lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """The same, one for all tests of a file."""
    lake = Lake(isolated_settings(tmp_path_factory.mktemp("standing") / "home"))
    lake.publish("p1")
    return lake
