"""The examples of a document: what stands in it is what is tried.

An example that is tried has `<!-- try: name -->` before its code block.
"""

from __future__ import annotations

import re
from pathlib import Path

BLOCK = re.compile(r"<!-- try: (?P<name>[\w -]+) -->\n```(?P<language>\w+)\n(?P<code>.*?)\n```", re.DOTALL)


def examples(path: Path) -> dict[str, str]:
    """Name → code, of every example that is to be tried."""
    found = [(match["name"], match["code"]) for match in BLOCK.finditer(path.read_text())]
    assert len(found) == len(dict(found)) == path.read_text().count("<!-- try:"), "two of a name, or one without code"
    return dict(found)


QUESTION = re.compile(r"^### (?P<title>[^\n]+)\n\n```sql\n(?P<sql>.*?)\n```$", re.DOTALL | re.MULTILINE)


def questions(path: Path) -> dict[str, str]:
    """Title → SQL, of every question that the page SQL takes out of the document."""
    section = path.read_text().split("\n## Questions to start from\n")[1].split("\n## ")[0]
    return {match["title"]: match["sql"] for match in QUESTION.finditer(section)}
