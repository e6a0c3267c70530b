"""Rules as files: those that ship are right, wrong ones say what was expected."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.errors import SettingsError
from streams.alerts.rule import SHIPPED, load, read

FINE = {"title": '"t"', "metric": '"start_failure_rate"', "above": "0.05"}


def text(**changed: str) -> str:
    return "\n".join(f"{name} = {value}" for name, value in (FINE | changed).items() if value)


def test_the_rules_that_ship() -> None:
    rules = load(SHIPPED)
    assert len(rules) >= 4
    assert all(rule.close_at is not None and rule.least_sample for rule in rules), (
        "none flutters, none judges a handful"
    )


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"metric": '"start_failure_rat"'}, "no metric 'start_failure_rat'; nearest: start_failure_rate"),
        ({"metric": '"unique_viewers"'}, "there is no metric 'unique_viewers'"),
        ({"by": '["contry"]'}, "no dimension 'contry'; nearest: country"),
        ({"by": '["country", "content_id"]'}, "one rollup of minutes keeps"),
        ({"below": "0.1"}, "either above or below"),
        ({"above": ""}, "either above or below"),
        ({"close_at": "0.06"}, "close_at at most the limit 0.05"),
        ({"metric": '"startup_quantile_ms"'}, "expected argument, as q of startup_quantile_ms"),
        ({"argument": "0.5"}, "no argument for start_failure_rate"),
        ({"metric": '"play_count"', "least_sample": "5"}, "play_count is a count"),
        ({"over_minutes": "0"}, "over_minutes from 1 to 60, got 0"),
        ({"above": '"much"'}, "Expected `float | null`, got `str`"),
        ({"open_after": "3"}, "unknown field `open_after`"),
        ({"above": "= 3"}, "at line"),
        ({"name": '"other"'}, "the file's name is the rule's"),
    ],
)
def test_a_wrong_rule_says_what_was_expected(changed: dict[str, str], said: str, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(text(**changed))
    with pytest.raises(SettingsError) as wrong:
        load(tmp_path)
    assert said in str(wrong.value)
    assert str(tmp_path / "mine.toml") in str(wrong.value)


def test_a_folder_that_is_not_there() -> None:
    with pytest.raises(SettingsError, match="expected a folder of rules"):
        load(Path("/nowhere"))
    with pytest.raises(SettingsError, match="may not be automatic"):
        read("automatic", text())
