"""Agents: the project's own client of the Model Context Protocol asks over stdio and over HTTP."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from infra.settings import ROOT, Settings
from schemas.metrics.registry import METRICS
from tests.browser.views import Views, shared
from tests.conftest import isolated_settings
from tests.documents import examples
from tests.warehouse.lake import Lake
from tests.warehouse.serving import Running
from warehouse.access.keys import KeyFile, Scope
from warehouse.catalog import CatalogReader
from warehouse.mcp import telling
from warehouse.sandbox.pool import Sandbox

CONFIGURED = {
    name: json.loads(text)["mcpServers"]["playlake"] for name, text in examples(ROOT / "docs" / "clients.md").items()
}
"""How a client is told of us, as the document says it."""
TOOLS = {"list_tables", "describe", "query", "list_metrics", "explain_metric", "find_sessions", "session_timeline"}


class Agent:
    """A client and what its tools answer."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def call(self, tool: str, **arguments: Any) -> Any:
        """The answer. Raises AssertionError with the message of a failure."""
        told = await self.client.call_tool(tool, arguments)
        text = "".join(part.text for part in told.content if part.type == "text")
        assert not told.is_error, text
        return json.loads(text)

    async def refused(self, tool: str, **arguments: Any) -> str:
        told = await self.client.call_tool(tool, arguments)
        assert told.is_error, told.content
        return "".join(part.text for part in told.content if part.type == "text")

    async def rows(self, sql: str, **arguments: Any) -> list[list[Any]]:
        answer = await self.call("query", sql=sql, **arguments)
        found: list[list[Any]] = answer["rows"]
        return found


@asynccontextmanager
async def over_stdio(settings: Settings) -> AsyncIterator[Agent]:
    env = {k: v for k, v in os.environ.items() if not k.startswith("PLAYLAKE_")} | settings.to_env()
    command = Path(sys.executable).with_name(Path(CONFIGURED["stdio"]["command"]).name)
    process = StdioServerParameters(command=str(command), args=CONFIGURED["stdio"]["args"], env=env, cwd=str(ROOT))
    async with Client(process) as client:
        yield Agent(client)


@asynccontextmanager
async def over_http(url: str, key: str | None = None, mode: str = "auto") -> AsyncIterator[Agent]:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=30) as http,
        Client(
            streamable_http_client(url + httpx.URL(CONFIGURED["http"]["url"]).path, http_client=http), mode=mode
        ) as client,
    ):
        yield Agent(client)


@pytest.fixture(scope="module")
def views() -> Views:
    return shared()


async def test_an_agent_finds_its_way_over_stdio(views: Views) -> None:
    """From the list of tables to one viewer's stalls, by what the tools themselves tell."""
    async with over_stdio(views.settings) as agent:
        tools = (await agent.client.list_tools()).tools
        assert {tool.name for tool in tools} == TOOLS
        assert all(tool.annotations and tool.annotations.read_only_hint and tool.description for tool in tools)
        assert "metrics.quality_minute" in (agent.client.instructions or "")

        names = {table["table"] for table in (await agent.call("list_tables"))["tables"]}
        assert names >= {"silver.sessions", "metrics.quality_minute", "metrics.session_quality"}
        columns = {c["name"]: c for c in (await agent.call("describe", table="silver.sessions"))["columns"]}
        assert columns["stall_ms"]["unit"] == "ms"

        sql = (
            "SELECT session_id, stall_ms FROM silver.sessions WHERE country = $c AND end_reason <> 'open' ORDER BY ALL"
        )
        rows = await agent.rows(sql, parameters={"c": "BR"})
        with Sandbox(views.settings, warm=0) as sandbox:
            assert rows == [list(row.values()) for row in sandbox.query(sql, {"c": "BR"}).table.to_pylist()]
        worst, stall_ms = max(rows, key=lambda row: row[1])
        told = await agent.call("session_timeline", session_id=worst)
        stalled_s = sum(for_s for name, _, for_s in told["phases [name, from_s, for_s]"] if name == "stalled")
        assert told["figures"]["stall_ms"] == stall_ms == round(stalled_s * 1000) > 0
        user = told["figures"]["user_id"]
        assert worst in {
            hit["session_id"] for hit in (await agent.call("find_sessions", session_or_user_id=user))["sessions"]
        }


async def test_what_cannot_be_answered_says_what_could_be(views: Views) -> None:
    async with over_stdio(views.settings) as agent:
        assert "did you mean silver.sessions" in await agent.refused("describe", table="silver.session")
        assert "did you mean stall_count" in await agent.refused("explain_metric", name="rebuffer")
        assert "Did you mean stall_ms" in await agent.refused("query", sql="SELECT stals FROM silver.sessions")
        assert "expected 1 to 1000, got 5000" in await agent.refused("query", sql="SELECT 1", max_rows=5000)
        assert "sql" in await agent.refused("query", text="SELECT 1")
        assert (await agent.call("query", sql="FROM range(500)"))["truncated"] is True
        for attack in (
            "DELETE FROM silver.sessions",
            "COPY silver.sessions TO 'out.csv'",
            "SELECT * FROM read_csv('/etc/passwd')",
            "ATTACH 'other.duckdb'",
            "SET memory_limit = '100GB'",
        ):
            assert await agent.refused("query", sql=attack)
        assert "no published session has this id" in (await agent.call("session_timeline", session_id="nobody"))["note"]
        assert await agent.rows("SELECT 1") == [[1]], "the process is there after all of it"


def test_every_metric_says_how_it_is_asked(views: Views) -> None:
    """The query that an agent is given runs as it stands."""
    with Sandbox(views.settings, warm=2) as sandbox:
        catalog = CatalogReader(sandbox, views.settings.warehouse).read()
        elsewhere = set()
        for told in map(telling.metric, METRICS):
            if catalog.table(told["tables"][0]):
                assert sandbox.query(told["ask"]).table.num_rows > 0, told["metric"]
            else:
                elsewhere.add(told["tables"][0])
    assert elsewhere == {f"gold.{name}_daily" for name in ("ads", "audience", "title", "views")}, (
        "tables that this lake has not"
    )


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, dict[str, str]]]:
    """A server that asks for keys, and a key of each scope."""
    settings = isolated_settings(tmp_path_factory.mktemp("agents") / "home")
    settings = replace(settings, kafka_bootstrap=f"127.0.0.1:{settings.kafka_port}", server_keys="always")
    Lake(settings).publish("p1")
    file = KeyFile(settings.server_keys_file)
    keys = {scope.value: file.add(scope.value, scope)[1] for scope in Scope}
    keys["slow"] = file.add("slow", Scope.query, per_minute=2)[1]
    running = Running(settings, keys["admin"])
    yield running, keys
    running.stop()


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_over_http_a_key_says_who_asks(service: tuple[Running, dict[str, str]], mode: str) -> None:
    running, keys = service
    async with over_http(running.url, keys["query"], mode) as agent:
        assert {tool.name for tool in (await agent.client.list_tools()).tools} == TOOLS
        sql = f"SELECT sum(plays)::BIGINT AS plays FROM gold.quality_minute WHERE rollup = ? -- {mode}"
        assert await agent.rows(sql, parameters=["total"]) == running.sql(sql, parameters=["total"]).json()["rows"]
    log = [json.loads(line) for line in (running.log.parent / "query_log" / "queries.jsonl").read_text().splitlines()]
    told = [(one["key"], one["outcome"], one["rows"]) for one in log if one["sql"] == sql]
    assert told == [("query", "answered", 1), ("admin", "answered", 1)]


async def test_over_http_scopes_and_limits_hold(service: tuple[Running, dict[str, str]]) -> None:
    running, keys = service
    async with over_http(running.url, keys["view"]) as agent:
        assert (await agent.call("list_tables"))["publish_id"] == "p1"
        assert "this needs a key of scope query" in await agent.refused("query", sql="SELECT 1")
    async with over_http(running.url, keys["slow"]) as agent:
        assert await agent.rows("SELECT 1") == await agent.rows("SELECT 1") == [[1]]
        assert "a minute" in await agent.refused("query", sql="SELECT 1")
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    elsewhere = {"Origin": "http://evil.example", "Accept": "application/json, text/event-stream"}
    answer = httpx.post(
        f"{running.url}/mcp", json=call, headers=elsewhere | {"Authorization": f"Bearer {keys['query']}"}
    )
    assert answer.status_code == 403, "a page of somebody else's asks nothing here"
