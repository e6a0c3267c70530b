"""Commits to a Delta table that compare and set: what an append, a claim and a compaction have in common.

A commit names application transactions (id → number) with the number that it expects to find and the one that it
leaves. The expectation is checked against the handle, and the commit goes through that same handle: Delta refuses it
when any commit since then wrote one of the same ids. So it is a compare-and-set of all its ids, together with the
files that it adds and removes. Commits that share no id never stop one another: one that another commit got in front of
looks at the table anew, compares again, and goes behind it.

Nothing counts before it is on the disk: `commit` returns when the log is flushed, with its folder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.disk import sync
from infra.errors import PlaylakeError, ProcessError
from schemas.table import KEEP_DAYS

if TYPE_CHECKING:
    from deltalake import DeltaTable
    from deltalake.transaction import AddAction, RemoveAction

PROPERTIES = {
    "delta.enableChangeDataFeed": "true",
    # delta-rs and deletion vectors do not go together well enough for a table that must not lose a row.
    "delta.enableDeletionVectors": "false",
    "delta.logRetentionDuration": f"interval {KEEP_DAYS} days",
    # A checkpoint forgets a removed file after this time, and vacuum goes by what the log remembers: with the same time
    # as vacuum's no file would ever be deleted. What is left is how long maintenance may fail before files stay behind.
    "delta.deletedFileRetentionDuration": f"interval {KEEP_DAYS + 3} days",
}
"""Of every table that delta-rs writes."""

REOPEN_AFTER = 20
"""Commits through one handle; with more it becomes slow."""
UNFLUSHED = 50
"""More versions than processes that could have been killed between a commit and its flush."""
ATTEMPTS = 10
"""At a commit. Each failure means that another process has just changed the table."""
FILES_KEY, REMOVED_KEY, TRANSACTIONS_KEY = "playlakeFiles", "playlakeRemoved", "playlakeTransactions"
"""In commitInfo: how many of each the commit has, so that an audit sees when a line of it is missing."""

Changes = Mapping[str, tuple[int | None, int]]
"""Transaction id → (number that must be stored, number to store)."""


class PositionMoved(PlaylakeError):
    """Another process has written a position that this one took for its own. What is buffered must be read again."""


class DeltaLog:
    """The log of one table that is there. `name` is what messages call it."""

    def __init__(self, path: Path, name: str) -> None:
        self.path = path
        self.name = name
        self.handle = self._open()
        self._commits = 0
        self._durable_version = max(-1, self.version - UNFLUSHED)
        for folder in (path, path.parent, path.parent.parent):
            sync(folder)
        self.flush()

    @property
    def version(self) -> int:
        return int(self.handle.version())

    def stored(self, transaction: str) -> int | None:
        """The number stored under a transaction id, as of the handle."""
        return self.handle.transaction_version(transaction)

    def reopen(self) -> None:
        """Look at the table anew."""
        self.handle = self._open()
        self._commits = 0

    def commit(
        self,
        files: Sequence[AddAction | RemoveAction],
        changes: Changes,
        note: Mapping[str, Any] | None = None,
        step: Callable[[], None] = lambda: None,
    ) -> None:
        """Add and remove the files and store the numbers, or nothing of it; `note` goes into commitInfo.

        `step` is called when it is in the log and not yet flushed. Raises PositionMoved when an expectation is not met.
        """
        from deltalake import CommitProperties, PostCommitHookProperties, Transaction
        from deltalake.exceptions import CommitFailedError
        from deltalake.transaction import AddAction

        added = sum(isinstance(file, AddAction) for file in files)
        counts = {FILES_KEY: added, REMOVED_KEY: len(files) - added, TRANSACTIONS_KEY: len(changes)}
        for attempt in range(ATTEMPTS):
            self._check(changes)
            try:
                self.handle.create_write_transaction(
                    list(files),
                    "append",
                    self.handle.schema(),
                    self.handle.metadata().partition_columns,
                    commit_properties=CommitProperties(
                        custom_metadata={**counts, **(note or {})},
                        app_transactions=[Transaction(name, new) for name, (_, new) in changes.items()],
                    ),
                    # Old log files go by maintenance, never beside an append.
                    post_commithook_properties=PostCommitHookProperties(cleanup_expired_logs=False),
                )
                break
            except CommitFailedError as error:
                if attempt == ATTEMPTS - 1:
                    msg = f"{self.name}: {error}"
                    raise PositionMoved(msg) from error
                # A column that another process has just added, say. Whether a position has moved is what counts.
                self.reopen()
        step()
        self._commits += 1
        if self._commits >= REOPEN_AFTER:
            self.reopen()
        else:
            self.handle.update_incremental()
        self.flush()

    def alter(self, change: Callable[[DeltaTable], bool]) -> None:
        """Change columns or properties. `change` gets the handle and says whether there was anything to do.

        It is asked again until there is not: another process may do the same at the same time.
        """
        from deltalake.exceptions import CommitFailedError

        problem: CommitFailedError | None = None
        for _ in range(ATTEMPTS):
            try:
                if not change(self.handle):
                    self.flush()
                    return
            except CommitFailedError as error:
                problem = error
            self.reopen()
        msg = f"{self.name}: its columns or properties could not be set, other processes keep changing it: {problem}"
        raise ProcessError(msg)

    def set_properties(self, wanted: Mapping[str, str]) -> None:
        """Set those that are not as wanted."""

        def change(handle: DeltaTable) -> bool:
            found = handle.metadata().configuration
            missing = {name: value for name, value in wanted.items() if found.get(name) != value}
            if missing:
                handle.alter.set_table_properties(missing, raise_if_not_exists=False)
            return bool(missing)

        self.alter(change)

    def flush(self) -> None:
        """To the disk with what was added to the log since the last time, whoever wrote it."""
        folder = self.path / "_delta_log"
        names = ["_last_checkpoint"]
        for version in range(self._durable_version + 1, self.version + 1):
            names += [f"{version:020}.json", f"{version:020}.checkpoint.parquet"]
        for name in names:
            if (folder / name).exists():
                sync(folder / name)
        sync(folder)
        self._durable_version = self.version

    def _check(self, changes: Changes) -> None:
        for name, (expected, new) in changes.items():
            found = self.stored(name)
            if found != expected:
                msg = f"{self.name}: {name} is {found}, expected {expected}"
                raise PositionMoved(msg)
            if expected is not None and new < expected:
                msg = f"{self.name}: {name} is {expected} and may not go back to {new}"
                raise AssertionError(msg)

    def _open(self) -> DeltaTable:
        from deltalake import DeltaTable

        return DeltaTable(self.path)
