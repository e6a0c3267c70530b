"""The SDK as a page gets it: small, cached, with the contracts' words; its own checks run here, too."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from infra.setup.pages import SDK, npm_command
from schemas.registry import EVENT_TOPICS
from streams.intake.sdk_file import FILE, SdkFile

MOST_BYTES = 6000


class Pages:
    """Pages that load the SDK from a collector."""

    def __init__(self, path: Path = FILE) -> None:
        self._app = Starlette(routes=[SdkFile(path).route()])

    async def get(self, **headers: str) -> httpx.Response:
        transport = httpx.ASGITransport(self._app)
        async with httpx.AsyncClient(transport=transport, base_url="http://collector") as client:
            return await client.get("/sdk.js", headers={name.replace("_", "-"): text for name, text in headers.items()})


async def test_it_is_smaller_than_6_kb_and_needs_nothing_else() -> None:
    answer = await Pages().get(accept_encoding="gzip, br")
    assert answer.status_code == 200
    assert answer.headers["content-encoding"] == "gzip"
    assert int(answer.headers["content-length"]) < MOST_BYTES
    assert answer.content == FILE.read_bytes()
    assert b"import" not in answer.content
    assert answer.headers["content-type"].startswith("text/javascript")
    assert answer.headers["access-control-allow-origin"] == "*"


async def test_a_browser_that_has_it_is_not_sent_it_again() -> None:
    pages = Pages()
    plain, packed = await pages.get(accept_encoding="identity"), await pages.get(accept_encoding="gzip")
    assert "content-encoding" not in plain.headers
    assert "max-age=" in plain.headers["cache-control"]
    assert plain.headers["etag"] != packed.headers["etag"]
    for first, encoding in ((plain, "identity"), (packed, "gzip")):
        again = await pages.get(accept_encoding=encoding, if_none_match=f'"other", W/{first.headers["etag"]}')
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == first.headers["etag"]


async def test_a_collector_without_the_bundle_says_how_to_get_it(tmp_path: Path) -> None:
    answer = await Pages(tmp_path / "none.js").get()
    assert answer.status_code == 404
    assert "make setup" in answer.text


@pytest.mark.browser
def test_its_types_and_its_own_tests() -> None:
    npm, env = npm_command()
    done = subprocess.run(
        [*npm, "run", "check"], cwd=SDK, env=os.environ | env, capture_output=True, text=True, timeout=150
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]


def test_its_vocabulary_is_that_of_the_contracts() -> None:
    made = (SDK / "build" / "contract.ts").read_text()
    for name in ("user.playback.events", "user.ui.events"):
        for event_type in EVENT_TOPICS[name].rank:
            assert f"  {event_type}: {{\n" in made, event_type
