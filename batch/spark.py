"""The Spark session of a batch job: a client of the Connect server, with our code shipped to its Python workers."""

from __future__ import annotations

import hashlib
import logging
import re
import tempfile
import time
import uuid
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar, cast

from batch.delta_log import create
from batch.history import columns_of
from infra import compiled
from infra.errors import ProcessError
from infra.settings import ROOT, Settings
from schemas.derive import MINUTE, SPARK, arrow_schema, spark_ddl
from schemas.table import Column, Table

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

T = TypeVar("T")
Session = Callable[[], "SparkSession"]
"""Gives a Spark session, the same each time."""
SHIPPED = ("infra", "schemas", "batch")
"""Folders that a function needs when it runs in a Python worker, maybe on another machine."""
CONFLICTS = (
    "DELTA_CONCURRENT", "DELTA_PROTOCOL_CHANGED", "DELTA_METADATA_CHANGED", "io.delta.exceptions.Concurrent",
    "DELTA_CREATE_TABLE_WITH_NON_EMPTY_LOCATION",  # somebody else is creating it: the folder of its log comes first
)  # fmt: skip
CONFLICT_RETRIES = 5
CONFLICT_PAUSE_S = 0.2
SESSION_IDS = 1000
"""So many are tried: a server remembers that many sessions that have ended, whose ids it takes no more."""
SESSION_CONFIG = {
    "spark.sql.session.timeZone": "UTC",
    # A stage that has no rows, again, is a stage all the same: its commit says so.
    "spark.databricks.delta.skipRecordingEmptyCommits": "false",
    # Its log has them; here they would bury the message.
    "spark.sql.connect.serverStacktrace.enabled": "false",
    # Histograms and registers collect small lists a group; the default (128 groups) would sort every row instead.
    "spark.sql.objectHashAggregate.sortBased.fallbackThreshold": "100000",
    # Rows of a few days are written to their files as they come, where Spark would sort all of them by day first.
    "spark.sql.maxConcurrentOutputFileWriters": "8",
    # Each of those files keeps so much in memory: a quarter of the default.
    "parquet.block.size": str(32 * 2**20),
    # A quarter of the default: with two or three tasks for two cores one of them would often wait for the other.
    "spark.sql.files.maxPartitionBytes": str(32 * 2**20),
    # As every reader of Delta expects them; Spark's own default is older than Parquet's type.
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
}
LITTLE_CONFIG = {
    # Each shuffle into the server's 32 would cost a third of a second, however few rows there are.
    "spark.sql.shuffle.partitions": "4",
}
"""What differs for a run to which little has come."""


@contextmanager
def spark_session(settings: Settings, *, is_own: bool = False, is_little: bool = False) -> Iterator[SparkSession]:
    """A session on the Connect server at `settings.spark_url`. Raises ProcessError when none answers.

    All that run the same code have one session there, which stays: its Python workers have loaded the code, and what
    Spark compiles for a query is of use to the next. `is_own`: another that ends with the block, for whoever changes
    its configuration. `is_little`: the one for runs to which little has come.
    """
    from pyspark.errors import PySparkException

    # What fails is raised; the client also logs it and warns of it.
    logging.getLogger("pyspark.sql.connect").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", r"\[RETRIES_EXCEEDED\]")
    try:
        spark = _own(settings) if is_own else _shared(settings, LITTLE_CONFIG if is_little else {})
    except PySparkException as error:
        msg = f"no Spark Connect server answers at {settings.spark_url} ({_cause(error)}); start it by `playlake up`"
        raise ProcessError(msg) from None
    try:
        yield spark
    finally:
        spark.stop()


def _own(settings: Settings) -> SparkSession:
    with tempfile.TemporaryDirectory() as folder:
        return _opened(settings.spark_url, code_zip(Path(folder)), {})


def _shared(settings: Settings, config: Mapping[str, str]) -> SparkSession:
    """The session of all that run this code, with this configuration beside everybody's.

    The server ends one that was idle for an hour, and its id with it.
    """
    from pyspark.errors import PySparkException

    url = settings.spark_url
    with tempfile.TemporaryDirectory() as folder:
        code = code_zip(Path(folder))
        for number in range(SESSION_IDS):
            session_id = uuid.uuid5(uuid.NAMESPACE_OID, f"{code.name}/{sorted(config.items())}/{number}")
            try:
                spark = _opened(f"{url}{';' if '/;' in url else '/;'}session_id={session_id}", code, config)
            except PySparkException as error:
                if "SESSION_CLOSED" not in str(error):
                    raise
            else:
                cast("Any", spark).release_session_on_close = False
                return spark
    return _own(settings)


def _opened(url: str, code: Path, config: Mapping[str, str]) -> SparkSession:
    """A session with our configuration, and our packages for its Python workers."""
    from pyspark.errors import PySparkException
    from pyspark.sql import SparkSession
    from pyspark.sql.connect.client.retries import DefaultPolicy

    spark = SparkSession.builder.remote(url).create()
    connect = cast("Any", spark)
    # The client's own policy hangs for minutes when the server is gone.
    connect.client.set_retry_policies([DefaultPolicy(max_retries=4, initial_backoff=50, max_backoff=2000)])
    try:
        for name, value in (SESSION_CONFIG | dict(config)).items():
            spark.conf.set(name, value)
        connect.addArtifacts(str(code), pyfile=True)
    except PySparkException:
        connect.release_session_on_close = False  # nobody answers, or it has ended
        spark.stop()
        raise
    return spark


@contextmanager
def spark_when_asked(
    settings: Settings, *, is_own: bool = False, is_little: Callable[[], bool] = lambda: False
) -> Iterator[Session]:
    """What opens a session when it is first asked for, and gives it; any thread may ask. See `spark_session`."""
    lock = Lock()
    with ExitStack() as opened:
        found: list[SparkSession] = []

        def session() -> SparkSession:
            with lock:
                if not found:
                    one = spark_session(settings, is_own=is_own, is_little=is_little())
                    found.append(opened.enter_context(one))
                return found[0]

        yield session


def code_zip(folder: Path) -> Path:
    """Our packages as one zip, named by its content: a long-lived server never runs yesterday's code."""
    files = sorted(path for name in SHIPPED for path in (ROOT / name).rglob("*.py"))
    contents = {str(file.relative_to(ROOT)): file.read_bytes() for file in files}
    # Without it the workers of each job would compile anew what set-up has compiled.
    contents[f"infra/{compiled.SHIPPED}"] = str(compiled.code_folder()).encode()
    digest = hashlib.blake2b(digest_size=8)
    path = folder / "code.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, raw in contents.items():
            digest.update(raw)
            archive.writestr(zipfile.ZipInfo(name), raw)
    return path.rename(path.with_name(f"playlake_{digest.hexdigest()}.zip"))


def ensure_table(session: Session, path: str, table: Table) -> None:
    """Create the Delta table that the contract describes, or add the columns that it has gained since."""
    there = columns_of(path)
    if there is not None:
        new = [column for column in table.columns if column.name not in there]
        # Two at once: one fails, and is run again by whoever started it.
        for addition in ([spark_ddl(new)] if new else []) + _new_parts(table, there):
            session().sql(f"ALTER TABLE delta.`{path}` ADD COLUMNS ({addition})")
        return
    # Who comes next asks for the rows that changed.
    properties = {"delta.enableChangeDataFeed": "true"}
    create(path, arrow_schema(table.columns), table.partition_by, table.description, properties)


def _new_parts(table: Table, there: set[str]) -> list[str]:
    """The parts that the minutes of a session have gained, each at its place: structs are written by position."""
    found = []
    for column in table.columns:
        if column.type == "minutes" and column.name in there:
            for before, part in pairwise(MINUTE):
                if f"{column.name}.element.{part}" not in there:
                    found.append(f"{column.name}.element.{part} {SPARK[MINUTE[part]]} AFTER {before}")
    return found


def as_contract(rows: DataFrame, columns: Iterable[Column]) -> DataFrame:
    """Exactly these columns in this order and type; null where `rows` has none of that name (an older table).

    The cast also strips the collation that Spark Connect puts on strings out of Python (`string collate UTF8_BINARY`),
    at which every other reader of Delta refuses the table.
    """
    from pyspark.sql import functions as F
    from pyspark.sql.pandas.types import from_arrow_schema

    there = set(rows.columns)
    types = {field.name: field.dataType.simpleString() for field in from_arrow_schema(arrow_schema(columns)).fields}
    return rows.select(
        *((F.col(f"`{name}`") if name in there else F.lit(None)).cast(kind).alias(name) for name, kind in types.items())
    )


def retry_conflicts(action: Callable[[], T]) -> T:
    """Run `action` again when another writer's commit came in between; `action` must bear being repeated."""
    from deltalake.exceptions import CommitFailedError
    from pyspark.errors import PySparkException

    for attempt in range(CONFLICT_RETRIES + 1):
        try:
            return action()
        except (CommitFailedError, PySparkException) as error:
            if attempt == CONFLICT_RETRIES or not is_conflict(error):
                raise
            time.sleep(attempt * CONFLICT_PAUSE_S)
    raise AssertionError


def is_conflict(error: Exception) -> bool:
    """Whether a Delta commit lost against another one."""
    from deltalake.exceptions import CommitFailedError

    return isinstance(error, CommitFailedError) or any(name in str(error) for name in CONFLICTS)


def _cause(error: Exception) -> str:
    """gRPC's own words, out of an error of many lines."""
    found = re.search(r'details = "(.*)"', str(error))
    return (found[1] if found else str(error).strip().split("\n", 1)[0])[:200]
