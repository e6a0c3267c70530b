"""The jars of Kafka and Delta, and of the benchmark's peers: resolved by the Ivy that the pyspark wheel holds, verified
against `infra/jars.lock`.

A line of the lock is `<sha256>  <configuration>/<file>`, as `sha256sum --check` reads it. Ivy's own default finds the
repository; a machine that needs another one says so in ~/.ivy2/ivysettings.xml.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies

from infra import java
from infra.errors import SetupError
from infra.settings import ROOT, Settings
from infra.setup.python import MAIN
from infra.setup.step import Runner, Step

JARS = ROOT / ".jars"
IVY_XML = ROOT / "infra" / "ivy.xml"
LOCK = ROOT / "infra" / "jars.lock"
CONFIGURATIONS = ("kafka", "spark")
"""What running needs. The others below are made when they are asked for."""
BENCHMARK = ("flink",)
CACHE = Path("~/.cache/playlake/ivy").expanduser()
IVY_SETTINGS = Path("~/.ivy2/ivysettings.xml").expanduser()


def jars() -> Step:
    return Step("Jars of Kafka and Delta", JARS, lambda: [str(ROOT), IVY_XML, LOCK], partial(_make, CONFIGURATIONS))


def benchmark_jars() -> Step:
    """What the benchmark's peers need beside their Python packages."""
    made = partial(_make, BENCHMARK)
    return Step("Jars of the benchmark's peers", JARS / BENCHMARK[0], lambda: [str(ROOT), IVY_XML, LOCK], made)


def lock() -> Step:
    """Resolve `infra/ivy.xml` and write down what came."""
    return Step("Resolving the lock of the jars", None, list, _write_lock)


def _write_lock(runner: Runner) -> None:
    with tempfile.TemporaryDirectory(dir=ROOT, prefix=".jars-") as fresh:
        _resolve(runner, Path(fresh), CONFIGURATIONS + BENCHMARK)
        came = _hashes(Path(fresh), CONFIGURATIONS + BENCHMARK)
        lines = [f"{digest}  {name}\n" for name, digest in sorted(came.items())]
    LOCK.write_text("".join(lines))


def _make(configurations: Sequence[str], runner: Runner) -> None:
    with tempfile.TemporaryDirectory(dir=ROOT, prefix=".jars-") as fresh:
        _resolve(runner, Path(fresh), configurations)
        wrong = mismatches(Path(fresh), configurations)
        if wrong:
            # A download that was cut stays in Ivy's cache: fetch those files once more before calling it a mismatch.
            for name in wrong:
                for cached in CACHE.rglob(f"jars/{Path(name).name}"):
                    cached.unlink()
            _resolve(runner, Path(fresh), configurations)
            wrong = mismatches(Path(fresh), configurations)
        if wrong:
            said = "; ".join(f"{name} {what}" for name, what in sorted(wrong.items()))
            msg = f"the jars are not those of infra/jars.lock: {said}. A wanted change is written down by `make lock`"
            raise SetupError(msg)
        JARS.mkdir(exist_ok=True)
        for configuration in configurations:
            shutil.rmtree(JARS / configuration, ignore_errors=True)
            (Path(fresh) / configuration).rename(JARS / configuration)


def mismatches(folder: Path, configurations: Sequence[str] = CONFIGURATIONS) -> dict[str, str]:
    """What of these configurations differs from the lock, by file name.

    Raises SetupError for a line that is not `<sha256>  <name>`.
    """
    wanted: dict[str, str] = {}
    for line in LOCK.read_text().splitlines():
        digest, _, name = line.partition("  ")
        if len(digest) != 64 or not name:
            msg = f"infra/jars.lock: expected `<sha256>  <name>`, got {line!r}"
            raise SetupError(msg)
        if name.partition("/")[0] in configurations:
            wanted[name] = digest
    came = _hashes(folder, configurations)
    wrong = dict.fromkeys(wanted.keys() - came.keys(), "is missing")
    wrong |= dict.fromkeys(came.keys() - wanted.keys(), "is not in the lock")
    for name in wanted.keys() & came.keys():
        if wanted[name] != came[name]:
            wrong[name] = f"has sha256 {came[name]} instead of {wanted[name]}"
    return wrong


def _hashes(folder: Path, configurations: Sequence[str]) -> dict[str, str]:
    """File name below the folder → sha256."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.parent.name in configurations
    }


def _resolve(runner: Runner, folder: Path, configurations: Sequence[str]) -> None:
    ivy = sorted(MAIN.glob("lib/python*/site-packages/pyspark/jars/ivy-*.jar"))
    if not ivy:
        msg = f"expected pyspark's jars/ivy-*.jar below {MAIN}, found none"
        raise SetupError(msg)
    settings: list[str | Path] = ["-settings", IVY_SETTINGS] if IVY_SETTINGS.is_file() else []
    CACHE.mkdir(parents=True, exist_ok=True)
    # Two tries: what has been downloaded stays in the cache, so the second goes on where the first broke off.
    runner.run(
        [java.find(Settings.from_env()), *_proxy(), "-jar", ivy[-1], *settings, "-cache", CACHE, "-ivy", IVY_XML,
         "-retrieve", f"{folder}/[conf]/[artifact]-[revision].[ext]", "-confs", *configurations],
        tries=2,
    )  # fmt: skip


def _proxy() -> list[str]:
    """Java does not read the proxy variables that every other downloader here obeys."""
    proxies = getproxies()
    options = []
    for scheme in ("http", "https"):
        if scheme in proxies:
            parts = urlsplit(proxies[scheme] if "//" in proxies[scheme] else f"//{proxies[scheme]}")
            options += [f"-D{scheme}.proxyHost={parts.hostname}", f"-D{scheme}.proxyPort={parts.port or 80}"]
    if "no" in proxies:
        options.append("-Dhttp.nonProxyHosts=" + "|".join(host.strip() for host in proxies["no"].split(",")))
    return options
