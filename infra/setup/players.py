"""Players for the browser tests (npm): dash.js as its makers publish it."""

from __future__ import annotations

from infra.settings import ROOT
from infra.setup.pages import npm_command
from infra.setup.step import Runner, Step

PLAYERS = ROOT / "tests" / "browser" / "players"
MODULES = PLAYERS / "node_modules"
DASHJS = MODULES / "dashjs" / "dist" / "modern" / "umd" / "dash.all.min.js"


def players() -> Step:
    return Step("Players for the browser tests", MODULES, lambda: [PLAYERS / "package-lock.json"], _make_players)


def _make_players(runner: Runner) -> None:
    npm, env = npm_command()
    runner.run([*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=PLAYERS, env=env, tries=2)
