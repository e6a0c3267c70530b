"""Write what is derived from the contracts and committed: `python -m schemas.generate` (`make contracts`).

    schemas/generated/events/<topic>.json           JSON Schema of a topic's records, for producers in any language
    schemas/generated/tables/<layer>.<table>.json   columns of a table, for readers
    docs/events.md                                  the same for people
    docs/dead-letters.md                            reason codes, for people
    docs/metrics.md                                 metrics with formulas, sources and examples, for people
    warehouse/metrics.sql                           their macros

A change that breaks somebody who relies on the committed version is refused. If it must be, `--accept-breaking` writes
it to `schemas/generated/accepted.txt`, where a reviewer sees it. `--check` writes nothing and says what is out of date.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from infra.errors import ContractError
from infra.settings import ROOT
from schemas import document
from schemas.compatibility import breaking_changes
from schemas.dead_letter_page import dead_letters
from schemas.derive import json_schema
from schemas.metrics.macros import metrics_sql
from schemas.metrics.page import metrics
from schemas.registry import EVENT_TOPICS
from schemas.table import Table
from schemas.tables import BRONZE, DEAD_LETTERS, SILVER
from schemas.tables.replays import REPLAYED_LETTERS
from schemas.tables.restatements import RESTATEMENTS

GENERATED = Path("schemas/generated")
ACCEPTED = GENERATED / "accepted.txt"


def artefacts() -> dict[Path, str]:
    """Path below the root → text, of everything that is derived and committed."""
    topics = EVENT_TOPICS.values()
    tables = (*BRONZE.values(), DEAD_LETTERS, REPLAYED_LETTERS, *SILVER.values(), RESTATEMENTS)
    return {
        **{GENERATED / "events" / f"{topic.name}.json": _json(json_schema(topic)) for topic in topics},
        **{GENERATED / "tables" / f"{table.full_name}.json": _json(_table(table)) for table in tables},
        Path("docs/events.md"): document.events(topics),
        Path("docs/dead-letters.md"): dead_letters(),
        Path("docs/metrics.md"): metrics(),
        Path("warehouse/metrics.sql"): metrics_sql(),
    }


def broken_by(new: dict[Path, str], old: dict[Path, str]) -> list[str]:
    """The breaking changes from `old` to `new` artefacts, without those that were accepted."""
    accepted = accepted_changes()
    return [
        change
        for path, text in sorted(old.items())
        if path.suffix == ".json"
        for change in breaking_changes(json.loads(text), json.loads(new[path]) if path in new else None)
        if change not in accepted
    ]


def accepted_changes() -> frozenset[str]:
    path = ROOT / ACCEPTED
    return frozenset(path.read_text().splitlines() if path.exists() else ())


def outdated(new: dict[Path, str], root: Path = ROOT) -> list[str]:
    """Files that are not what the contracts say: missing, different, or of a contract that is gone."""
    there = {path.relative_to(root) for path in (root / GENERATED).rglob("*.json")}
    wrong = [path for path, text in new.items() if not (root / path).exists() or (root / path).read_text() != text]
    return sorted(str(path) for path in {*wrong, *(there - new.keys())})


def write(new: dict[Path, str], root: Path = ROOT) -> list[str]:
    """Bring the files up to date; returns what changed."""
    changed = outdated(new, root)
    for name in changed:
        path = root / name
        if Path(name) in new:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(new[Path(name)])
        else:
            path.unlink()
    return changed


def committed(root: Path = ROOT) -> dict[Path, str]:
    """The artefacts that are on disk."""
    return {path.relative_to(root): path.read_text() for path in sorted((root / GENERATED).rglob("*.json"))}


def _table(table: Table) -> dict[str, Any]:
    return {
        "name": table.full_name,
        "description": table.description,
        "owner": table.owner,
        "grain": list(table.grain),
        "partition_by": table.partition_by,
        "columns": [
            {"name": c.name, "type": c.type, "nullable": c.nullable, "description": c.doc} for c in table.columns
        ],
    }


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _lines(items: Iterable[str]) -> str:
    return "\n".join(f"  {item}" for item in items)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m schemas.generate", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when something is out of date")
    parser.add_argument("--accept-breaking", action="store_true", help="let breaking changes pass, and record them")
    options = parser.parse_args(arguments)
    new = artefacts()
    changes = broken_by(new, committed())
    if changes and not options.accept_breaking:
        msg = f"these changes break who relies on the committed contracts:\n{_lines(changes)}\n"
        raise ContractError(reason="breaking_change", detail=msg + "make them compatible, or use --accept-breaking")
    if options.check:
        stale = outdated(new)
        print(f"out of date, run `make contracts`:\n{_lines(stale)}" if stale else "up to date")
        return 1 if stale else 0
    if changes:
        with (ROOT / ACCEPTED).open("a") as lines:
            lines.writelines(f"{change}\n" for change in changes)
    changed = write(new)
    print(f"written:\n{_lines(changed)}" if changed else "up to date")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ContractError as error:
        sys.exit(f"error: {error}")
