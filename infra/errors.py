"""The one error tree. Every message says what was expected and what came.

PlaylakeError
├── SettingsError     a setting is missing, malformed or contradicts another
├── SetupError        a download, an environment or a program that is needed is not there
├── ProcessError      a process of the platform does not start, stay up or stop
├── DeliveryError     events that Kafka has not acknowledged
├── ContractError     a record breaks its contract (becomes a dead letter)
├── RequestRefused    a request to the collector or the server of which nothing is taken
├── PositionRefused   a source is not the one whose positions are stored; going on would lose or double
├── LakeDamaged       a Delta log that can't be trusted
├── StageRefused      what is staged was not audited, or its target has moved since
├── CheckFailed       a data quality check failed; nothing was published
├── CheckBroken       a data quality check could not be computed; nothing was published
└── QueryError        a query was refused, failed or ran out of its limits
"""

from __future__ import annotations

from collections.abc import Sequence


class PlaylakeError(Exception):
    """Root of all errors that playlake raises on purpose; the CLI prints its message and exits 1."""


class SettingsError(PlaylakeError):
    """A setting is missing, malformed or contradicts another one."""


class SetupError(PlaylakeError):
    """A download, an environment or a program that is needed is not there."""


class ProcessError(PlaylakeError):
    """A process of the platform does not start, stay up or stop."""


class DeliveryError(PlaylakeError):
    """Events that Kafka has not acknowledged.

    failures: what is known of each one; an event that is still under way is in none of them.
    """

    def __init__(self, detail: str, failures: Sequence[object] = ()) -> None:
        super().__init__(detail)
        self.failures = failures


class ContractError(PlaylakeError):
    """A record breaks its contract.

    reason: a stable code, e.g. `not_json`, `unknown_event_type`, `invalid_field`, `missing_field`.
    field:  the wire name of the failing field, or None when the whole record is at fault.
    """

    def __init__(self, reason: str, detail: str, field: str | None = None) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.field = field


class RequestRefused(PlaylakeError):
    """Nothing of a request is taken.

    reason: a stable code; `schemas/refusals.py` (collector) and `warehouse/server.py` have them with their status.
    retry_after_s: when the same request may be taken; None: never, or nobody knows.
    """

    def __init__(self, reason: str, detail: str, retry_after_s: float | None = None) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.retry_after_s = retry_after_s


class PositionRefused(PlaylakeError):
    """A source is not the one whose positions are stored; going on would lose or double records."""


class LakeDamaged(PlaylakeError):
    """A Delta log is empty, cut, or names files that are not there."""


class StageRefused(PlaylakeError):
    """What is staged may not be committed: it was not audited, or its target has moved since. Stage again."""


class CheckFailed(PlaylakeError):
    """A data quality check failed; the previous version stays visible."""


class CheckBroken(PlaylakeError):
    """A data quality check could not be computed, so there is no verdict on the data. Trying again may help."""


class QueryError(PlaylakeError):
    """A query was refused, failed or ran out of its limits.

    reason: refused | failed | timeout | too_large | cancelled | busy | unavailable.
    position: the character of the query (from 0) at which it is wrong, or None when there is no such place.
    """

    def __init__(self, detail: str, reason: str = "failed", position: int | None = None) -> None:
        super().__init__(detail)
        self.reason = reason
        self.position = position
