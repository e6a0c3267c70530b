"""The clocks and tables of the benchmarks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import latency, report, result
from benchmarks.result import Run, Section
from benchmarks.run import PARTS


def test_an_event_waits_until_its_own_partition_is_seen_behind_it() -> None:
    probes = [(0, 10, 1.0), (0, 11, 2.0), (1, 10, 1.0)]
    seen = [(1.5, 0, 10), (3.0, 0, 11), (4.0, 1, 500), (5.0, 0, 12)]
    assert sorted(latency.waits(probes, seen)) == [2.0, 3.0, 3.0]


def test_quantiles_are_values_that_were_measured() -> None:
    assert latency.quantiles([float(n) for n in range(1000)]) == [500.0, 990.0, 999.0]


def test_the_meter_counts_from_the_first_event_read(work: Any, capsys: pytest.CaptureFixture[str]) -> None:
    ended = []
    meter = work.Meter(10)
    meter.through = lambda: ended.append(1)
    for _ in range(10):
        meter.begin()
        meter.add()
    meter.report()
    line = json.loads(capsys.readouterr().out)
    assert line["events"] == 10 and line["seconds"] > 0 and ended == [1]


def test_the_meter_leaves_out_what_came_before_it_could_look(work: Any, capsys: pytest.CaptureFixture[str]) -> None:
    meter = work.Meter(100, after=0.25)
    for done in (10, 20, 40, 100):
        meter.reach(done)
    meter.report()
    assert json.loads(capsys.readouterr().out)["events"] == 60


@pytest.mark.parametrize("steps", [(50,), (100,)])
def test_the_meter_has_no_result_without_two_sights(work: Any, steps: tuple[int, ...]) -> None:
    meter = work.Meter(100)
    for done in steps:
        meter.reach(done)
    with pytest.raises(SystemExit, match="expected 100 events"):
        meter.report()


def test_contestants_take_turns_and_one_that_fails_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(result, "wait_quiet", lambda: "")
    order: list[str] = []

    def good() -> int:
        order.append("good")
        return 1

    def bad() -> int:
        order.append("bad")
        msg = "totals differ"
        raise AssertionError(msg)

    section = Section("fold")
    assert result.interleave(section, {"bad": bad, "good": good}, 3, str) == {"good": [1, 1, 1]}
    assert order == ["bad", "good", "good", "good"]
    assert section.warnings == ["bad failed in run 1: AssertionError: totals differ"]


def test_a_run_knows_its_rate_and_its_cost() -> None:
    run = Run(events=1000, seconds=2.0, cpu_seconds=0.004, rss_mb=1.0)
    assert (run.rate, run.cpu_us) == (500.0, 4.0)


def test_a_part_is_written_into_its_own_place(tmp_path: Path) -> None:
    page = tmp_path / "benchmarks.md"
    page.write_text("before\n<!-- fold -->\nformer\n<!-- /fold -->\nbetween\n<!-- delta -->\nkept\n<!-- /delta -->\n")
    section = Section("fold", ["| a |"], ["the machine was busy"])
    report.write(section, page)
    report.write(section, page)
    text = page.read_text()
    assert text.startswith("before\n<!-- fold -->\n| a |\n\nMeasured ")
    assert "**Warning:** the machine was busy." in text and "former" not in text and text.count("| a |") == 1
    assert text.endswith("<!-- /fold -->\nbetween\n<!-- delta -->\nkept\n<!-- /delta -->\n")


def test_a_part_without_a_place_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "benchmarks.md"
    page.write_text("nothing\n")
    with pytest.raises(ValueError, match="<!-- fold -->"):
        report.write(Section("fold"), page)


def test_the_page_has_a_place_for_every_part() -> None:
    text = report.PAGE.read_text()
    assert [name for name in PARTS if f"<!-- {name} -->\n" not in text or f"<!-- /{name} -->" not in text] == []
