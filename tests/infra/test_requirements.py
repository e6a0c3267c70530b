"""The locks: every input has one, everything in it has a hash, the environments agree with each other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from infra.setup.python import LOCKS, REQUIREMENTS

PIN = re.compile(r"^([a-z0-9.-]+)(?:\[[a-z0-9,_-]+\])?==([^ ;\\]+)")


def pins(lock: Path) -> dict[str, set[str]]:
    """Package → versions (more than one when they depend on the Python). Fails for a requirement without hashes."""
    found: dict[str, set[str]] = {}
    for block in re.split(r"\n(?=[a-z0-9])", lock.read_text()):
        if match := PIN.match(block):
            assert "--hash=sha256:" in block, f"{match[1]} in {lock.name} has no hash"
            found.setdefault(match[1], set()).add(match[2])
    return found


def asked_for(source: Path) -> dict[str, str | None]:
    """Package → the version that a `.in` demands with `==`, else None."""
    lines = (line.split("#")[0].strip() for line in source.read_text().splitlines())
    wanted: dict[str, str | None] = {}
    for line in lines:
        if line and not line.startswith("-"):
            name, _, version = line.partition("==")
            wanted[re.split(r"[\[<>]", name)[0].lower()] = version or None
    return wanted


def test_every_input_has_a_lock_and_every_lock_an_input() -> None:
    for suffix in ("in", "txt"):
        assert sorted(path.stem for path in REQUIREMENTS.glob(f"*.{suffix}")) == sorted(LOCKS)


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_holds_what_its_input_asks_for(name: str) -> None:
    locked = pins(REQUIREMENTS / f"{name}.txt")
    for package, version in asked_for(REQUIREMENTS / f"{name}.in").items():
        assert package in locked, f"{package} is not in {name}.txt: run `make lock`"
        assert version is None or locked[package] == {version}, f"{package} differs in {name}.txt: run `make lock`"


def test_the_lock_for_development_holds_the_runtime_at_the_same_versions() -> None:
    main, dev = pins(REQUIREMENTS / "main.txt"), pins(REQUIREMENTS / "dev.txt")
    assert {name: dev.get(name) for name in main} == main


def test_locks_name_no_index() -> None:
    assert not [
        path.name for path in REQUIREMENTS.iterdir() if re.search(r"://|--index|--find-links", path.read_text())
    ]
