"""Commands of the prompt that are no SQL."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from infra.errors import QueryError
from warehouse.catalog import Catalog
from warehouse.forms import Form
from warehouse.prompt import describe

HELP = {
    "\\d [NAME]": "the tables; one table (columns, units, freshness) or one metric",
    "\\dm [WORD]": "the metrics; those with this word",
    "\\format NAME": "table, csv, json or parquet",
    "\\o [FILE]": "answers go into the file, by its ending .csv .json .parquet .txt; without: back to the screen",
    "\\timing": "show how long answers took, or no longer",
    "\\? or \\help": "this list",
    "\\q": "leave, like Ctrl-D",
}
NAMES = ("\\d", "\\dm", "\\format", "\\o", "\\timing", "\\?", "\\help", "\\q")


@dataclass
class Choices:
    """How answers are shown. `form`: None is what the file's ending says."""

    form: Form | None = None
    file: Path | None = None
    is_timed: bool = True


def run(line: str, choices: Choices, catalog: Callable[[], Catalog]) -> str:
    """The text that a command answers with; changes the choices. Raises QueryError, and EOFError to leave."""
    name, _, argument = line.strip().rstrip(";").partition(" ")
    argument = argument.strip()
    match name:
        case "\\d":
            return describe.table(catalog(), argument) if argument else describe.tables(catalog())
        case "\\dm":
            return describe.metrics(catalog(), argument)
        case "\\format":
            return _format(argument, choices)
        case "\\o":
            choices.file = Path(argument).expanduser() if argument else None
            return f"answers go to {choices.file}" if choices.file else "answers are shown here"
        case "\\timing":
            choices.is_timed = not choices.is_timed
            return f"timing is {'on' if choices.is_timed else 'off'}"
        case "\\?" | "\\help" | "\\h":
            width = max(map(len, HELP))
            return "\n".join(f"  {one.ljust(width)}  {what}" for one, what in HELP.items())
        case "\\q":
            raise EOFError
    msg = f"there is no command {name}; \\? lists them"
    raise QueryError(msg)


def _format(argument: str, choices: Choices) -> str:
    if argument not in list(Form):
        msg = f"expected \\format {' | '.join(Form)}, got {argument!r}"
        raise QueryError(msg)
    choices.form = Form(argument)
    needs_file = choices.form is Form.parquet and choices.file is None
    return f"answers are {argument}" + ("; say \\o FILE where to" if needs_file else "")
