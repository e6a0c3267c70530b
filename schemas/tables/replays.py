"""What `playlake deadletters replay` has sent: one row a letter, so that a second time finds nothing to do."""

from __future__ import annotations

from schemas.table import Column, Table

REPLAYED_LETTERS = Table(
    layer="bronze",
    name="replayed_letters",
    description="Dead letters that were sent again, after their events were acknowledged by Kafka.",
    owner="platform",
    grain=("topic", "partition", "offset", "replayed_at"),
    partition_by="replayed_date",
    columns=(
        Column("topic", "string", "topic of the letter", nullable=False),
        Column("partition", "int", "partition of the letter", nullable=False),
        Column("offset", "long", "offset of the letter", nullable=False),
        Column("replayed_at", "timestamp", "when it was sent again", nullable=False),
        Column("sent_to", "string", "topic that the event went to", nullable=False),
        Column("event_id", "string", "the event's id, the same each time", nullable=False),
        Column("fix", "string", "the options by which it was put right; empty: none was needed", nullable=False),
        Column("replayed_date", "date", "date of replayed_at, UTC", nullable=False),
    ),
)
