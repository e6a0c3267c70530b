"""A table's declared checks → an expectation suite.

`rows(min=n)` is Great Expectations' own row count. The others are its `UnexpectedRowsExpectation`: a query that must
give no row. Great Expectations knows it for SQL databases and Spark; the two metrics below teach it DuckDB over the
staged Delta table, so that counting is done where the data lies and ten rows come back for the report.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import great_expectations as gx
from great_expectations.execution_engine.pandas_execution_engine import PandasExecutionEngine
from great_expectations.expectations.core.expect_table_row_count_to_be_between import ExpectTableRowCountToBeBetween
from great_expectations.expectations.core.unexpected_rows_expectation import UnexpectedRowsExpectation
from great_expectations.expectations.expectation import Expectation
from great_expectations.expectations.metrics.metric_provider import MetricProvider, metric_value
from great_expectations.expectations.metrics.query_metric_provider import QueryMetricProvider

from infra.errors import SettingsError
from schemas.table import Check, Table
from warehouse.quality.staged import Staged

SEVERITY = {"fail": "critical", "warn": "warning"}
"""Ours → Great Expectations'."""

_staged: ContextVar[Staged] = ContextVar("staged")


@contextmanager
def measured_on(staged: Staged) -> Iterator[None]:
    """Within it, unexpected rows are looked for in this table."""
    token = _staged.set(staged)
    try:
        yield
    finally:
        _staged.reset(token)


class UnexpectedRowCount(MetricProvider):
    """How many rows a query gives."""

    metric_name = "unexpected_rows_query.row_count"
    domain_keys = QueryMetricProvider.domain_keys
    value_keys = ("unexpected_rows_query",)

    @metric_value(engine=PandasExecutionEngine)
    def _duckdb(cls, metric_value_kwargs: dict[str, Any], **_: Any) -> int:
        return _staged.get().count(metric_value_kwargs["unexpected_rows_query"])


class UnexpectedRows(MetricProvider):
    """The first rows that a query gives."""

    metric_name = "unexpected_rows_query.table"
    domain_keys = QueryMetricProvider.domain_keys
    value_keys = ("unexpected_rows_query",)

    @metric_value(engine=PandasExecutionEngine)
    def _duckdb(cls, metric_value_kwargs: dict[str, Any], **_: Any) -> list[dict[str, Any]]:
        return _staged.get().sample(metric_value_kwargs["unexpected_rows_query"])


def all_checks(table: Table) -> tuple[Check, ...]:
    """What the table declares, and what its grain and columns already say."""
    declared = {(check.kind, frozenset(check.arguments)) for check in table.checks}
    never_null = {name for check in table.checks if check.kind == "not_null" for name in check.arguments}
    required = tuple(c.name for c in table.columns if not c.nullable and c.name not in never_null)
    derived = []
    if ("unique", frozenset(table.grain)) not in declared:
        derived.append(Check("fail", "unique", table.grain))
    if required:
        derived.append(Check("fail", "not_null", required))
    return (*table.checks, *derived)


def suite(table: Table, columns: tuple[str, ...]) -> gx.ExpectationSuite:
    """The suite of one table; `columns` are those that the staged table really has."""
    return gx.ExpectationSuite(
        name=table.full_name,
        expectations=[expectation(check, table, columns) for check in all_checks(table)],
        meta={"owner": table.owner, "grain": list(table.grain), "description": table.description},
    )


def expectation(check: Check, table: Table, columns: tuple[str, ...]) -> Expectation:
    """One check as an expectation. `meta.check` keeps the words in which the table declared it."""
    common: dict[str, Any] = {"severity": SEVERITY[check.severity], "meta": {"check": str(check)}}
    if check.kind == "rows":
        return ExpectTableRowCountToBeBetween(min_value=_least(check, table), **common)
    query = unexpected_rows_query(check, table, columns)
    return UnexpectedRowsExpectation(unexpected_rows_query=query, **common)


def unexpected_rows_query(check: Check, table: Table, columns: tuple[str, ...]) -> str:
    """The rows that break the check, with the columns that show why. `{batch}` stands for the table."""
    if check.kind == "unique":
        names = ", ".join(_name(name) for name in check.arguments)
        return f"SELECT {names}, count(*) AS copies FROM {{batch}} GROUP BY {names} HAVING count(*) > 1"
    if check.kind == "not_null":
        condition = " OR ".join(f"{_name(name)} IS NULL" for name in check.arguments)
    elif check.kind == "in_set":
        values = ", ".join(_text(value) for value in check.arguments[1:])
        condition = f"CAST({_name(check.arguments[0])} AS VARCHAR) NOT IN ({values})"
    else:
        condition = check.arguments[0]
    shown = ", ".join(_shown(condition, table.grain, columns))
    return f"SELECT {shown} FROM {{batch}} WHERE {condition.replace('{', '{{').replace('}', '}}')}"


def _shown(condition: str, grain: Iterable[str], columns: tuple[str, ...]) -> Iterable[str]:
    """The row's key and what the condition speaks of; everything, should neither name a column."""
    words = set(re.findall(r"\w+", condition))
    return [_name(c) for c in columns if c in words or c in grain] or ["*"]


def _least(check: Check, table: Table) -> int:
    match = re.fullmatch(r"min\s*=\s*(\d+)", ", ".join(check.arguments))
    if match is None:
        msg = f"{table.full_name}: expected rows(min=n), got {check}"
        raise SettingsError(msg)
    return int(match[1])


def _name(column: str) -> str:
    """Quoted: `offset` is a column of ours and a word of SQL."""
    return f'"{column}"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
