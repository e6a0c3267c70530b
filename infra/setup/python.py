"""The Python environments: tools (uv), ours, Airflow's, the benchmark's, each exactly as its hashed lock says."""

from __future__ import annotations

import sys
import tomllib
from functools import partial
from pathlib import Path

from infra.settings import ROOT
from infra.setup.step import Runner, Step

REQUIREMENTS = ROOT / "requirements"
LOCKS = ("tools", "build", "main", "dev", "airflow", "java", "node", "bench")
TOOLS, MAIN, AIRFLOW, BENCH = (ROOT / name for name in (".tools", ".venv", ".venv-airflow", ".venv-bench"))
WITH_TESTS = MAIN / ".with-tests"
UV = TOOLS / "bin" / "uv"
HASHED = ("--require-hashes", "--only-binary", ":all:")
UV_ENV = {"UV_PYTHON_DOWNLOADS": "never", "UV_HTTP_TIMEOUT": "120"}


def lock_of(name: str) -> Path:
    return REQUIREMENTS / f"{name}.txt"


def tools() -> Step:
    return Step("Tools (uv)", TOOLS, lambda: [*_place(), lock_of("tools")], _make_tools)


def main_env(*, dev: bool) -> Step:
    """Ours, with playlake itself in it (editable). The lock for development holds all of the runtime's, so an
    environment that was once made for development stays one: running something never takes the test tools away."""
    name = "dev" if dev or WITH_TESTS.is_file() else "main"
    title = "Python environment" + (" with test tools" if name == "dev" else "")
    # Of pyproject.toml only what the install reads: a new lint rule installs nothing.
    return Step(title, MAIN, lambda: [*_place(), lock_of(name), *_install_tables()], partial(_make_main, lock_of(name)))


def airflow_env() -> Step:
    return Step("Airflow's environment", AIRFLOW, lambda: [*_place(), lock_of("airflow")], _make_airflow)


def bench_env() -> Step:
    """The systems that `make bench` measures beside ours: never in our own environment."""
    return Step("The peers' environment", BENCH, lambda: [*_place(), lock_of("bench")], _make_bench)


def install_into(runner: Runner, target: Path, name: str) -> None:
    """Install a lock as loose files, for wheels that carry a program rather than a library."""
    uv(runner, "pip", "install", "--python", sys.executable, "--target", target, "--no-deps", *HASHED,
       "-r", lock_of(name))  # fmt: skip


def locks() -> Step:
    return Step("Resolving the Python locks", None, list, _compile_locks)


def _compile_locks(runner: Runner) -> None:
    """Resolve every `.in` again, for all Pythons that we run on. Versions change only where the `.in` asks for it."""
    for name in LOCKS:
        uv(runner, "pip", "compile", "--quiet", "--universal", "--python-version", "3.11", "--generate-hashes",
           "--no-emit-index-url", "--custom-compile-command", "make lock",
           f"requirements/{name}.in", "-o", f"requirements/{name}.txt")  # fmt: skip


def uv(runner: Runner, *arguments: str | Path) -> None:
    runner.run([UV, *arguments], cwd=ROOT, env=UV_ENV)


def _make_tools(runner: Runner) -> None:
    # venv of the standard library: the one thing that a bare Python can make.
    runner.run([sys.executable, "-m", "venv", "--clear", TOOLS])
    runner.run(
        [TOOLS / "bin" / "python", "-m", "pip", "install", "--disable-pip-version-check", "--quiet", *HASHED,
         "-r", lock_of("tools")]
    )  # fmt: skip


def _make_main(lock: Path, runner: Runner) -> None:
    _venv(runner, MAIN)
    if not list(MAIN.glob("lib/python*/site-packages/setuptools")):
        uv(runner, "pip", "sync", "--python", MAIN, *HASHED, lock_of("build"))
    # pyspark comes as source only; setuptools above builds it, nothing unpinned is fetched for that.
    uv(runner, "pip", "sync", "--python", MAIN, *HASHED, "--no-binary", "pyspark", "--no-build-isolation", lock)
    uv(runner, "pip", "install", "--python", MAIN, "--no-build-isolation", "--no-deps", "--editable", ".")
    if lock == lock_of("dev"):
        WITH_TESTS.touch()


def _make_airflow(runner: Runner) -> None:
    _venv(runner, AIRFLOW)
    uv(runner, "pip", "sync", "--python", AIRFLOW, *HASHED, lock_of("airflow"))


def _make_bench(runner: Runner) -> None:
    _venv(runner, BENCH)
    # Flink and some of what it pulls in come as source only; the setuptools of our build lock makes wheels of them.
    if not list(BENCH.glob("lib/python*/site-packages/setuptools")):
        uv(runner, "pip", "sync", "--python", BENCH, *HASHED, lock_of("build"))
    uv(runner, "pip", "sync", "--python", BENCH, "--require-hashes", "--no-build-isolation", lock_of("bench"))


def _venv(runner: Runner, env: Path) -> None:
    # One of this place is kept, half-made or in use; one that was moved or has another Python is made anew.
    place = env / ".place"
    if not (place.is_file() and place.read_text() == "\n".join(_place())):
        uv(runner, "venv", "--quiet", "--clear", "--python", sys.executable, env)
        place.write_text("\n".join(_place()))


def _place() -> list[str]:
    """Environments hold absolute paths and belong to one Python."""
    return [str(ROOT), sys.version, sys.base_prefix]


def _install_tables() -> list[str]:
    tables = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return [repr(tables["project"]), repr(tables["tool"]["setuptools"])]
