"""Conventions that no tool checks: what the Makefile prints, what DAGs import, what must not stand in a file."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from infra.settings import ROOT


def tracked(*patterns: str) -> list[Path]:
    """Files of the repository (also those about to be added) that match."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *patterns],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [path for name in filter(None, listed.stdout.split("\0")) if (path := ROOT / name).is_file()]


def test_make_alone_prints_every_command() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = re.findall(r"^([a-z-]+):", makefile, re.MULTILINE)
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert phony is not None
    assert sorted(phony[1].split()) == sorted(targets)
    printed = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert re.findall(r"^  make ([a-z-]+) +\S", printed, re.MULTILINE) == targets


def test_continuous_integration_runs_what_everybody_runs() -> None:
    assert (ROOT / ".ci" / "run").read_text().rstrip().endswith("exec make test")


def test_dags_import_nothing_but_airflow_and_the_standard_library() -> None:
    allowed = {"airflow", *sys.stdlib_module_names, *(path.stem for path in (ROOT / "dags").glob("*.py"))}
    for path in tracked("dags/*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            else:
                continue
            wrong = [name for name in names if name.split(".")[0] not in allowed]
            assert not wrong, f"{path.relative_to(ROOT)} imports {wrong}"


def test_every_test_that_a_document_names_is_there() -> None:
    there = set()
    for path in tracked("tests/**/test_*.py"):
        names = re.findall(r"^(?:async )?def (test_\w+)", path.read_text(), re.MULTILINE)
        there |= {path.name, *names, *(f"{path.name}::{name}" for name in names)}
    for document in tracked("*.md", "docs/*.md"):
        for said in re.findall(r"`(test_[\w.:]+)`", document.read_text()):
            beginning = said.removesuffix("...")
            is_there = said in there or (beginning != said and any(one.startswith(beginning) for one in there))
            assert is_there, f"{document.name} names {said}"


# In pieces, so that this file does not hold what it forbids.
HOSTS = [
    ".".join(parts)
    for parts in (
        ("registry", "npmjs"),
        ("files", "pythonhosted"),
        ("pypi", "org"),
        ("maven", "org"),
        ("repo1", "maven"),
    )
]
FORBIDDEN = {
    "the host of a package registry": "|".join(map(re.escape, HOSTS)),
    "a path of somebody's machine": r"(?<![\w.])/(?:root|home/\w+|Users/\w+|work/\w+)(?:/|\b)",
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_file_names(what: str) -> None:
    pattern = re.compile(FORBIDDEN[what])
    found = []
    for path in tracked():
        if path.suffix not in {".png", ".gz", ".woff2"}:
            found += [f"{path.relative_to(ROOT)}: {match[0]}" for match in pattern.finditer(path.read_text("utf-8"))]
    assert not found, f"{what} stands in {found[:10]}"
