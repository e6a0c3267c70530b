"""Reason codes for people: `docs/dead-letters.md`, made by `make contracts`."""

from __future__ import annotations

from schemas.reasons import CONTRACT_REASONS
from schemas.refusals import INTAKE_REASONS, REFUSALS

PAGE = """# Dead letters

Made from `schemas/reasons.py` and `schemas/refusals.py` by `make contracts`; change it there.

A record that can't be taken as an event is kept in the table `bronze.dead_letters`, with a reason, the field at fault
where there is one, and its original bytes. The sink keeps what stands in a topic and breaks the topic's contract
(identity: topic, partition, offset); a collector keeps what it never let into a topic (identity: that of the record on
`dead.letters` that carried it). The others of a batch are taken.

    playlake deadletters list --reason invalid_field      the newest, without their bytes
    playlake deadletters show user.playback.events/0/17   one, with its bytes; --raw: nothing but them
    playlake deadletters replay --reason missing_field --rename titleId=contentId          what would be sent
    playlake deadletters replay --reason missing_field --rename titleId=contentId --send   send it

A replay changes nothing when it is done twice: a letter that was sent is written down in `bronze.replayed_letters` and
left out, and its event has the same id each time (its own, else the hash of the original bytes), so that silver keeps
it once. The event says in `extra` where it came from (`replayedFrom`). Letters that break a contract still, with the
fix too, stay where they are.

| reason | what it means |
|---|---|
{reasons}

## What a collector refuses

Of these requests nothing is taken, and nothing is kept: the sender has the answer. `/metrics` counts them.

| error | status | what it means |
|---|---|---|
{refusals}
"""


def dead_letters() -> str:
    """The page."""
    reasons = [f"| `{code}` | {meaning} |" for code, meaning in CONTRACT_REASONS.items()]
    reasons += [f"| `{code}` (collector) | {meaning} |" for code, meaning in INTAKE_REASONS.items()]
    refusals = [f"| `{code}` | {status} | {meaning} |" for code, (status, meaning) in REFUSALS.items()]
    return PAGE.format(reasons="\n".join(reasons), refusals="\n".join(refusals))
