"""The tables that are not SQL files: bronze and silver. `SILVER`: those that Spark makes, in order of dependence."""

from __future__ import annotations

from schemas.registry import EVENT_TOPICS
from schemas.table import Table
from schemas.tables.events import bronze_table, dead_letters, silver_events
from schemas.tables.sessions import SESSIONS

BRONZE: dict[str, Table] = {topic.name: bronze_table(topic) for topic in EVENT_TOPICS.values()}
"""Topic name → its bronze table."""
DEAD_LETTERS: Table = dead_letters
SILVER_EVENTS: dict[str, Table] = {topic.name: silver_events(topic) for topic in EVENT_TOPICS.values()}
"""Topic name → its silver table."""
SILVER: dict[str, Table] = {table.name: table for table in (*SILVER_EVENTS.values(), SESSIONS)}
