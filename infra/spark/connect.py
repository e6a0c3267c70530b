"""The local Spark Connect server: one JVM that stays warm, so that a job costs seconds instead of half a minute."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

from infra import java
from infra.broker import LOG4J2, LOOPBACK
from infra.errors import SetupError
from infra.health import advertised
from infra.settings import Settings

SERVER = "org.apache.spark.sql.connect.service.SparkConnectServer"


def folder(settings: Settings) -> Path:
    """Where Spark runs, spills and keeps what it must keep.

    Not the repository: Python workers would import what they find there before the code that a job has sent them.
    """
    return settings.home / "spark"


def delta_jars(settings: Settings) -> list[Path]:
    """The jars that Delta needs beside pyspark's own. Raises SetupError when they are not there."""
    jars = sorted((settings.jars / "spark").glob("*.jar"))
    if not any(jar.name.startswith("delta-spark") for jar in jars):
        msg = f"Delta's jars are not in {settings.jars / 'spark'}; run `make setup`"
        raise SetupError(msg)
    return jars


def delta_config() -> dict[str, str]:
    """What Delta asks of a Spark server, ours or another; a session sets the rest for itself."""
    return {
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.sql.session.timeZone": "UTC",
        # At most: Spark joins those that are small. With fewer, 10 M events would not be sorted in 2 GB.
        "spark.sql.shuffle.partitions": "32",
        "spark.databricks.delta.snapshotPartitions": "1",
        # Each run asks the same some hundred times over; with the default of 100 all of it is compiled anew.
        "spark.sql.codegen.cache.maxEntries": "1000",
    }


def command(settings: Settings) -> list[str]:
    """The server in the foreground: spark-submit replaces itself by the JVM."""
    state = folder(settings)
    flags = [
        f"-Dlog4j2.configurationFile=file:{LOG4J2}",
        "-Djava.net.preferIPv4Stack=true",
        "-XX:+ExitOnOutOfMemoryError",
        # Give memory back when no job runs.
        "-XX:G1PeriodicGCInterval=30000",
        "-XX:MinHeapFreeRatio=10",
        "-XX:MaxHeapFreeRatio=30",
        "-XX:-UsePerfData",
        # Spark makes one method of a whole stage; above 8,000 bytes of code the JVM would only ever interpret it.
        "-XX:-DontCompileHugeMethods",
    ]
    config = delta_config() | {
        "spark.connect.grpc.binding.address": settings.host,
        "spark.connect.grpc.binding.port": str(settings.spark_port),
        "spark.driver.bindAddress": settings.host if _on_cluster(settings) else LOOPBACK,
        "spark.driver.host": advertised(settings.host) if _on_cluster(settings) else LOOPBACK,
        "spark.local.dir": str(state / "tmp"),
        "spark.sql.warehouse.dir": str(state / "warehouse"),
        "spark.ui.enabled": "false",
    }
    return [
        str(_pyspark() / "bin" / "spark-submit"),
        *("--class", SERVER),
        *("--name", "playlake"),
        *("--master", settings.spark_master),
        *("--driver-memory", settings.spark_driver_memory),
        *("--driver-java-options", " ".join(flags)),
        *("--jars", ",".join(map(str, delta_jars(settings)))),
        *(part for name, value in config.items() for part in ("--conf", f"{name}={value}")),
        "spark-internal",
    ]


def environment(settings: Settings) -> dict[str, str]:
    """Which Java and which Python the server and its Python workers run."""
    return {
        "SPARK_HOME": str(_pyspark()),
        "SPARK_LOCAL_IP": settings.host if _on_cluster(settings) else LOOPBACK,
        "JAVA_HOME": str(java.find(settings).parent.parent),
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_DRIVER_PYTHON": sys.executable,
    }


def prepare(settings: Settings) -> None:
    """Make the state folders."""
    for name in ("tmp", "warehouse"):
        (folder(settings) / name).mkdir(parents=True, exist_ok=True)


def _on_cluster(settings: Settings) -> bool:
    """Whether executors on other machines must reach the driver."""
    return not settings.spark_master.startswith("local")


def _pyspark() -> Path:
    spec = find_spec("pyspark")  # looked up, not imported: that takes a second and 60 MB
    if spec is None or spec.origin is None:
        msg = "pyspark is not installed; run `make setup`"
        raise SetupError(msg)
    return Path(spec.origin).parent
