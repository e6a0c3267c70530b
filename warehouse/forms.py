"""Forms of an answer, as the command line, the prompt and HTTP name them."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from infra.errors import SettingsError


class Form(StrEnum):
    """Forms of an answer."""

    table = "table"
    csv = "csv"
    json = "json"
    parquet = "parquet"


_ENDINGS = {".csv": Form.csv, ".json": Form.json, ".parquet": Form.parquet, ".txt": Form.table}


def form_of(chosen: Form | None, file: Path | None) -> Form:
    """What was chosen, else what the file's ending says, else a table. Raises SettingsError: Parquet needs a file."""
    form = chosen or (_ENDINGS.get(file.suffix.lower(), Form.table) if file else Form.table)
    if form is Form.parquet and file is None:
        msg = "parquet is for files: name one with `--output FILE`"
        raise SettingsError(msg)
    return form
