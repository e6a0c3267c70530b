"""The Spark Connect server as tests start it: for small data, on a machine that is busy with other things."""

from __future__ import annotations

from infra.settings import Settings
from infra.spark import connect

QUICK = "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=256m"
"""Without the optimising compiler. The JVM's code cache is then 48 MB, which Spark fills within a minute, and a full
cache leaves it with an interpreter: a stage takes minutes instead of seconds."""
_SMALL = [
    part
    for conf in ("codegen.wholeStage=false", "codegen.factoryMode=NO_CODEGEN", "shuffle.partitions=4")
    for part in ("--conf", f"spark.sql.{conf}")
]
"""For a few hundred rows, compiling each query costs far more than running it. For a hundred thousand it is the other
way round: a sort that is interpreted asks for Spark's configuration at every comparison."""


def command(settings: Settings, *, few_rows: bool) -> list[str]:
    """The server in the foreground."""
    return [*connect.command(settings)[:-1], *(_SMALL if few_rows else ()), "spark-internal"]


def environment(settings: Settings) -> dict[str, str]:
    """To be added to one's own."""
    return {**connect.environment(settings), "JAVA_TOOL_OPTIONS": QUICK}
