"""Delta tables made and committed to without Spark, which plans small jobs of its own around each of its commits."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deltalake import CommitProperties, DeltaTable, PostCommitHookProperties, Schema, Transaction
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.transaction import AddAction, RemoveAction

from infra.errors import ProcessError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

ATTEMPTS = 20


def schema_of(rows: DataFrame, docs: Mapping[str, str] | None = None) -> Schema:
    """Delta's schema of what a query gives. `docs`: column → comment."""
    told: dict[str, Any] = json.loads(rows.schema.json())
    for column in told["fields"]:
        doc = (docs or {}).get(column["name"])
        column["metadata"] = {"comment": doc} if doc else {}
    return Schema.from_json(json.dumps(told))


def nullable(schema: Schema) -> Schema:
    """The same columns, any of which may be null: what a query never leaves empty today it may tomorrow."""
    told = json.loads(schema.to_json())
    for column in told["fields"]:
        column["nullable"] = True
    return Schema.from_json(json.dumps(told))


def types_of(schema: Schema) -> dict[str, Any]:
    """Column → its type, whatever may be null in it."""
    return {column["name"]: _bare(column["type"]) for column in json.loads(schema.to_json())["fields"]}


def _bare(kind: Any) -> Any:
    """A type without its nullabilities and notes, deep."""
    if isinstance(kind, list):
        return [_bare(one) for one in kind]
    if not isinstance(kind, dict):
        return kind
    others = ("nullable", "containsNull", "valueContainsNull", "metadata")
    return {name: _bare(value) for name, value in kind.items() if name not in others}


def create(
    path: str,
    schema: Any,
    partition_by: str | None,
    description: str,
    configuration: Mapping[str, str] | None = None,
) -> None:
    """Create a table unless it is there, or somebody else is creating it."""
    try:
        DeltaTable.create(
            path, schema, "ignore", _columns(partition_by), description=description, configuration=configuration
        )
    except DeltaError:
        if not DeltaTable.is_deltatable(path):
            raise


def replace_all(
    path: Path, schema: Schema, partition_by: str | None, actions: Sequence[AddAction], note: str
) -> list[str]:
    """These files in place of all, in one commit, of a table that is made, or made anew, where its shape differs.

    Returns the files that it had before. Raises ProcessError when others keep writing it.
    """
    problem: CommitFailedError | None = None
    for _ in range(ATTEMPTS):
        try:
            table, before = _of_shape(path, schema, partition_by)
            properties = CommitProperties(custom_metadata={"userMetadata": note})
            table.create_write_transaction(
                list(actions), "overwrite", table.schema(), _columns(partition_by), commit_properties=properties
            )
        except CommitFailedError as error:
            problem = error
        else:
            return before
    msg = f"{path}: other processes keep writing it: {problem}"
    raise ProcessError(msg)


def _of_shape(path: Path, schema: Schema, partition_by: str | None) -> tuple[DeltaTable, list[str]]:
    before: list[str] = []
    if DeltaTable.is_deltatable(str(path)):
        table = DeltaTable(path)
        before = files_of(table)
        is_same = table.metadata().partition_columns == _columns(partition_by)
        if is_same and table.schema().to_json() == schema.to_json():
            return table, before
    return DeltaTable.create(path, schema, "overwrite", _columns(partition_by)), before


def commit(
    table: DeltaTable,
    actions: Sequence[AddAction | RemoveAction],
    partition_by: str | None,
    note: str,
    transaction: tuple[str, int],
    *,
    is_maintenance: bool = False,
) -> None:
    """Files in and out in one commit. Raises CommitFailedError when one of the same transaction came first.

    note             the commit's userMetadata
    transaction      name and number, which Delta's log keeps: of two writers that began at the same version one fails
    is_maintenance   any other commit makes it fail, too, and it leaves the log as long as it is: how far the table has
                     come may stand in the oldest commit of all, and is not in this one
    """
    table.create_write_transaction(
        list(actions),
        "append",
        table.schema(),
        _columns(partition_by),
        commit_properties=CommitProperties(
            custom_metadata={"userMetadata": note},
            app_transactions=[Transaction(*transaction)],
            max_commit_retries=0 if is_maintenance else None,
        ),
        post_commithook_properties=PostCommitHookProperties(cleanup_expired_logs=False) if is_maintenance else None,
    )


def files_of(table: DeltaTable) -> list[str]:
    """Paths of a version's files, relative to the table."""
    import pyarrow as pa

    paths: list[str] = pa.table(table.get_add_actions(flatten=True))["path"].to_pylist()
    return paths


def _columns(partition_by: str | None) -> list[str]:
    return [partition_by] if partition_by else []
