"""Every reason code that the code gives is documented, and none is documented that it never gives."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from infra.settings import ROOT
from schemas.refusals import REASONS, REFUSALS


def raised(name: str) -> Iterator[str]:
    """Literal reasons of `name(reason, ...)`, wherever it is made."""
    for folder in ("schemas", "streams"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") == name:
                    given = [keyword.value for keyword in node.keywords if keyword.arg == "reason"] or node.args[:1]
                    # `reason = "empty"` right before is how some say it.
                    yield from (value.value for value in given if isinstance(value, ast.Constant))
                if (
                    name == "ContractError"
                    and isinstance(node, ast.Assign)
                    and getattr(node.targets[0], "id", "") == "reason"
                    and isinstance(node.value, ast.Constant)
                ):
                    yield node.value.value


def test_reasons_of_dead_letters() -> None:
    # Not of a record: of a changed contract, and of a call that names a topic.
    others = {"breaking_change", "unknown_topic"}
    assert set(raised("ContractError")) - others == set(REASONS)


def test_reasons_of_refusals() -> None:
    assert set(raised("RequestRefused")) == set(REFUSALS)
