"""How Airflow's processes are run: environment, commands, login; all from Settings.

Nothing of Airflow is imported here: it lives in an environment of its own (`settings.airflow_venv`). Its log servers
would listen on every interface and can't be told otherwise; they are off, since the API server reads the log files of
the one machine itself.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import sys
from base64 import urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path

from infra.errors import SetupError
from infra.health import reachable
from infra.settings import ROOT, Settings

USER = "admin"
POOLS = Path(__file__).with_name("pools.json")
TASKS_AT_ONCE = 2
HEARTBEAT_S = "90"
"""How old a component's last heartbeat may be; a busy machine delays them."""

COMPONENTS: dict[str, tuple[str, ...]] = {
    "api-server": ("api-server",),
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "dag-processor": ("dag-processor",),
    "triggerer": ("triggerer", "--skip-serve-logs"),
}


def folder(settings: Settings) -> Path:
    """AIRFLOW_HOME."""
    return settings.home / "airflow"


def url(settings: Settings) -> str:
    return f"http://{reachable(settings.host)}:{settings.airflow_port}"


def command(settings: Settings, component: str) -> list[str]:
    """One of COMPONENTS in the foreground. Raises SetupError when Airflow's environment is not there."""
    return [str(_executable(settings)), *COMPONENTS[component]]


def initialise_command(settings: Settings) -> list[str]:
    """Creates or migrates the metadata database and sets the pools, in Airflow's own interpreter."""
    return [str(_executable(settings).with_name("python")), str(Path(__file__).with_name("initialise.py")), str(POOLS)]


def environment(settings: Settings) -> dict[str, str]:
    """Airflow's configuration as variables. It holds secrets, which only this user can read from a process."""
    home, secret = folder(settings), _secrets(settings)
    own = {
        "CORE__AUTH_MANAGER": "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager",
        "CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "CORE__EXECUTION_API_SERVER_URL": f"{url(settings)}/execution/",
        "CORE__EXECUTOR": "LocalExecutor",
        "CORE__FERNET_KEY": secret["fernet_key"],
        "CORE__LOAD_EXAMPLES": "False",
        "CORE__PARALLELISM": str(TASKS_AT_ONCE),
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(_password_file(settings)),
        "CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
        "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
        "API__BASE_URL": url(settings),
        "API__HOST": settings.host,
        "API__PORT": str(settings.airflow_port),
        "API__SECRET_KEY": secret["secret_key"],
        "API__WORKERS": "1",
        "API_AUTH__JWT_SECRET": secret["jwt_secret"],
        "DAG_PROCESSOR__HEALTH_CHECK_THRESHOLD": HEARTBEAT_S,
        "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "60",
        "DAG_PROCESSOR__PARSING_PROCESSES": "1",
        "DAG_PROCESSOR__PRINT_STATS_INTERVAL": "0",
        "DAG_PROCESSOR__REFRESH_INTERVAL": "60",
        "LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
        "LOGGING__JSON_LOGS": "True",
        "SCHEDULER__ENABLE_HEALTH_CHECK": "False",
        # A task whose process was killed, and the tasks of a killed scheduler, are taken up again within a minute.
        "SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "30",
        "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "60",
        "SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": HEARTBEAT_S,
        "TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": HEARTBEAT_S,
        # A restart of the server takes longer than the three beats after which a task would be given up.
        "WORKERS__MAX_FAILED_HEARTBEATS": "8",
        "USAGE_DATA_COLLECTION__ENABLED": "False",
    }
    return {f"AIRFLOW__{name}": value for name, value in own.items()} | {
        "AIRFLOW_HOME": str(home),
        "PLAYLAKE_CLI": str(Path(sys.executable).with_name("playlake")),
        # Airflow renames its processes; without this their environment, by which we know our own, is overwritten.
        "SPT_NOENV": "1",
    }


def prepare(settings: Settings) -> None:
    """Make the folder, the secrets and the login, once."""
    folder(settings).mkdir(parents=True, exist_ok=True)
    login(settings)
    _secrets(settings)


def login(settings: Settings) -> tuple[str, str]:
    """User and password of the local UI; the password is drawn when first asked for."""
    drawn = _drawn_once(_password_file(settings), lambda: {USER: secrets.token_urlsafe(9)})
    return USER, drawn[USER]


def is_initialised(settings: Settings) -> bool:
    """Whether the database is there and was made by this very Airflow with these pools: then nothing is to be done."""
    return _mark(settings).exists() and _mark(settings).read_text() == _state(settings)


def mark_initialised(settings: Settings) -> None:
    _mark(settings).write_text(_state(settings))


def _state(settings: Settings) -> str:
    lock = ROOT / "requirements" / "airflow.txt"
    return hashlib.sha256(lock.read_bytes() + POOLS.read_bytes()).hexdigest()


def _mark(settings: Settings) -> Path:
    return folder(settings) / "initialised"


def _password_file(settings: Settings) -> Path:
    return folder(settings) / "passwords.json"


def _secrets(settings: Settings) -> dict[str, str]:
    return _drawn_once(
        folder(settings) / "secrets.json",
        lambda: {
            "fernet_key": urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            "secret_key": secrets.token_urlsafe(32),
            "jwt_secret": secrets.token_urlsafe(48),
        },
    )


def _drawn_once(path: Path, draw: Callable[[], dict[str, str]]) -> dict[str, str]:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(".new")
        new.unlink(missing_ok=True)
        new.touch(mode=0o600)
        new.write_text(json.dumps(draw()))
        new.rename(path)
    drawn: dict[str, str] = json.loads(path.read_text())
    return drawn


def _executable(settings: Settings) -> Path:
    path = settings.airflow_venv / "bin" / "airflow"
    if not path.exists():
        msg = f"Airflow's environment is not in {settings.airflow_venv}; run `make setup`"
        raise SetupError(msg)
    return path
