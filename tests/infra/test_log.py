"""Every line of a log is one JSON object, whatever was logged."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from infra.settings import ROOT


def lines(code: str) -> list[dict[str, Any]]:
    """The log of a process that runs `code` after set-up."""
    program = f"import logging, warnings\nfrom infra import log\nlog.setup('part')\n{code}"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert not done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_line_is_an_object_with_the_extra_fields() -> None:
    [line] = lines("logging.getLogger('a.b').warning('two %s\\nlines', 'ü', extra={'rows': 3, 'name2': object})")
    assert line.pop("ts").endswith("Z")
    assert line.pop("name2") == "<class 'object'>"
    assert line == {"level": "WARNING", "process": "part", "logger": "a.b", "msg": "two ü\nlines", "rows": 3}


def test_the_error_that_ends_a_process_is_in_its_log() -> None:
    [warning, last] = lines("warnings.warn('careful'); {}['missing']")
    assert "careful" in warning["msg"]
    assert (last["level"], last["msg"]) == ("CRITICAL", "KeyError: 'missing'")
    assert "Traceback" in last["trace"]
