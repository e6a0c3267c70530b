"""The console script: answers at once, one line for our own errors, a traceback for bugs, no command twice."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from importlib import import_module

import pytest
import typer

import playlake
from infra.errors import CheckFailed
from infra.settings import ROOT

PUBLISHING = ["quality gold", "publish", "warehouse-build"]


def test_help_answers_at_once() -> None:
    def seconds() -> float:
        began = time.monotonic()
        subprocess.run([sys.executable, "-m", "playlake", "--help"], cwd=ROOT, check=True, capture_output=True)
        return time.monotonic() - began

    assert min(seconds() for _ in range(5)) < 0.5


def test_joining_the_commands_imports_nothing_heavy() -> None:
    script = "import playlake, sys; playlake.join(); print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    heavy = {"aiokafka", "confluent_kafka", "deltalake", "duckdb", "fastapi", "faust", "great_expectations", "numpy",
             "pandas", "pyarrow", "pyspark", "uvicorn"}  # fmt: skip
    assert not heavy & set(done.stdout.split())


def test_no_two_folders_have_a_command_of_one_name() -> None:
    apps = [import_module(f"{folder}.commands").app for folder in playlake.FOLDERS]
    names = [command.name or command.callback.__name__ for app in apps for command in app.registered_commands]
    names += [group.name for app in apps for group in app.registered_groups]
    assert [name for name, count in Counter(names).items() if count > 1] == []


def fail_with(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """`playlake fail` raises this error."""
    app = typer.Typer()

    @app.command()
    def fail() -> None:
        raise error

    @app.command()
    def other() -> None: ...

    monkeypatch.setattr(playlake, "join", lambda: app)
    monkeypatch.setattr(sys, "argv", ["playlake", "fail"])


@pytest.mark.parametrize(
    ("begin", "expected"),
    [
        ("silver", ["stage silver --whole", "quality silver", "commit silver", "stage gold --whole", *PUBLISHING]),
        ("gold", ["stage gold --whole", *PUBLISHING]),
    ],
)
def test_a_rebuild_is_the_chain_with_every_table_staged_whole(
    monkeypatch: pytest.MonkeyPatch, begin: str, expected: list[str]
) -> None:
    ran = []
    app = typer.Typer()
    for steps in playlake.CHAIN:
        for name, *_ in steps:

            def step(context: typer.Context) -> None:
                ran.append(" ".join([str(context.info_name), *context.args]))

            app.command(name, context_settings={"ignore_unknown_options": True, "allow_extra_args": True})(step)
    monkeypatch.setattr(playlake, "join", lambda: app)
    playlake.rebuild(playlake.Layer(begin))
    assert ran == expected


def test_an_error_of_ours_is_one_line_and_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fail_with(CheckFailed("2 rows have no title"), monkeypatch)
    with pytest.raises(SystemExit) as caught:
        playlake.main()
    assert caught.value.code == 1
    assert capsys.readouterr() == ("", "error: 2 rows have no title\n")


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(ZeroDivisionError("bug"), monkeypatch)
    with pytest.raises(ZeroDivisionError):
        playlake.main()


def test_a_folder_without_commands_is_an_error() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"schemas\.events\.commands"):
        playlake.join(("schemas.events",))
