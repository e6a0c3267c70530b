"""The SELECT of a gold table in DuckDB's SQL. Its one text is Spark's; this is made of it."""

from __future__ import annotations

from functools import cache

from infra.errors import SettingsError


@cache
def in_duckdb(sql: str) -> str:
    """A SELECT of Spark's in DuckDB's words. Raises SettingsError where there are none for it.

    Functions that have one name in both are taken to do the same in both: `tests/batch/test_signed.py` holds the two
    engines against one another.
    """
    import sqlglot
    from sqlglot import exp
    from sqlglot.errors import ErrorLevel, SqlglotError

    try:
        tree = sqlglot.parse_one(sql, read="spark")
        for cast in list(tree.find_all(exp.TryCast)):  # what cannot be cast is an error in Spark, too, and no null
            cast.replace(exp.Cast(**cast.args))
        for count in list(tree.find_all(exp.CountIf)):  # DuckDB's is null where nothing is known, Spark's is 0
            count.replace(exp.Count(this=exp.Case(ifs=[exp.If(this=count.this, true=exp.Literal.number(1))])))
        return tree.sql("duckdb", copy=False, unsupported_level=ErrorLevel.RAISE)
    except SqlglotError as error:
        msg = f"expected a SELECT that can be said in DuckDB's SQL as well as in Spark's; {error}"
        raise SettingsError(msg) from None
