"""The fault suite proves itself: with any one safeguard taken out of the code, the test of its fault must go red.

    python -m tests.chaos.mutants [--only WORDS]

A mutant is a copy of the tree with one exact piece of text replaced; a text that is not there exactly once is an error,
so a safeguard that moves takes its mutant with it. Each test is run on an untouched copy first, where it must pass, and
a mutant counts as caught only when the test ends in its verdict, not in a program that does not even start.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from infra import process_tree
from infra.settings import ROOT

RED = "the verdict is red"
RAISED = re.compile(r"^(?:E|\s+\| (?=\w+: ))(.*)", re.MULTILINE)
"""What pytest says of an exception; of one in a group (Hypothesis, when it has found several) it says it otherwise."""
TEST_S = 500
COMPILED = ".compiled"
SAFEGUARDS = "tests/chaos/test_safeguards.py"
SLEPT_BEFORE = f"{SAFEGUARDS}::test_a_sink_that_slept_around_its_commit[before commit]"
KILLED_AFTER_ROWS = f"{SAFEGUARDS}::test_a_sink_killed_between_its_two_commits[user_playback_events]"
KILLED_AFTER_LETTERS = f"{SAFEGUARDS}::test_a_sink_killed_between_its_two_commits[dead_letters]"
BEFORE_POSITION = f"{SAFEGUARDS}::test_a_worker_killed_between_state_and_position"
OLD_STATE = f"{SAFEGUARDS}::test_a_worker_that_slept_and_wrote_old_state"
LOST_BATCH = f"{SAFEGUARDS}::test_a_worker_whose_transport_lost_a_batch"
ANY_CRASH = "tests/streams/live/test_partition.py::test_crash_and_replay_equal_no_crash"
POWER = "tests/streams/test_power_cut.py::test_what_a_commit_returned_for_is_there"
LOST_ROWS = "LakeDamaged|assert "
OWNERS = "tests/chaos/test_owners.py"


@dataclass(frozen=True)
class Mutant:
    """The safeguard that is taken out: in `file`, `old` becomes `new`. `test` must notice."""

    safeguard: str
    file: str
    old: str
    new: str
    test: str
    red: str = RED
    """What the test says (a pattern) when it fails as it should."""


MUTANTS = (
    Mutant(
        "sink: after a conflict the positions are compared again",
        "streams/delta_log.py",
        """        for attempt in range(ATTEMPTS):
            self._check(changes)
""",
        """        self._check(changes)
        for attempt in range(ATTEMPTS):
""",
        SLEPT_BEFORE,
    ),
    Mutant(
        "sink: position and epoch are compared before a commit",
        "streams/delta_log.py",
        "            if found != expected:\n",
        "            if False:\n",
        OWNERS,
    ),
    Mutant(
        "sink: dead letters are kept before the position passes them",
        "streams/bronze_tables.py",
        """        if concerned:
            self._letters.commit(""",
        """        for topic, group in by_topic.items():
            if topic != DEAD_LETTER_TOPIC.name:
                self._commit_rows(topic, group, rows.pop(topic, None))
                for owned in group:
                    owned.rows_kept()
        if concerned:
            self._letters.commit(""",
        KILLED_AFTER_ROWS,
    ),
    Mutant(
        "sink: dead letters that a crash left ahead are left out",
        "streams/bronze.py",
        "            run = [one for one in run if _offset(one) not in owned.known_letters]\n",
        "",
        KILLED_AFTER_LETTERS,
    ),
    Mutant(
        "sink: the log is flushed before a commit counts",
        "streams/delta_log.py",
        """            self.handle.update_incremental()
        self.flush()
""",
        """            self.handle.update_incremental()
""",
        POWER,
        red=LOST_ROWS,
    ),
    Mutant(
        "sink: rows are flushed before the commit names them",
        "streams/delta_files.py",
        "        os.fsync(out.fileno())\n",
        "",
        POWER,
        red=LOST_ROWS,
    ),
    Mutant(
        "stream: state is written before the position that speaks for it",
        "streams/app.py",
        """        for name, step in zip(STEPS, snapshot.steps, strict=True):
""",
        """        for name, step in zip(STEPS, snapshot.steps[::-1], strict=True):
""",
        BEFORE_POSITION,
    ),
    Mutant(
        "stream: minutes and totals are written before the buckets",
        "streams/live/partition.py",
        "        yield Snapshot((minutes_and_totals, buckets, at_position), offset, clock_ms)\n",
        "        yield Snapshot((buckets, minutes_and_totals, at_position), offset, clock_ms)\n",
        ANY_CRASH,
    ),
    Mutant(
        "stream: the position is before the oldest change that no written bucket holds",
        "streams/live/partition.py",
        "        if not len(waiting):\n",
        "        if True:\n",
        ANY_CRASH,
    ),
    Mutant(
        "stream: a replay skips what a bucket holds",
        "streams/live/fold.py",
        "        if event.offset < live.buckets.through[bucket]:\n",
        "        if event.offset < 0:\n",
        ANY_CRASH,
    ),
    Mutant(
        "stream: a replay adds to the totals only what they do not hold",
        "streams/live/fold.py",
        "event.offset >= state[TOTALS_THROUGH])\n",
        "event.offset >= 0)\n",
        ANY_CRASH,
    ),
    Mutant(
        "stream: a replay adds to a minute only what it does not hold",
        "streams/live/fold.py",
        "            return offset < live.minute_through[k, 1]",
        "            return offset < 0",
        ANY_CRASH,
    ),
    Mutant(
        "stream: an event that waits is written with its bucket",
        "streams/live/partition.py",
        "            records.to_array(held, self.names) if len(held) else None,\n",
        "            None,\n",
        ANY_CRASH,
    ),
    Mutant(
        "stream: a bucket in which an event is released has changed",
        "streams/live/fold.py",
        "    _mark(live, event.bucket, offset, live.scalars[CLOCK])\n",
        "",
        ANY_CRASH,
    ),
    Mutant(
        "stream: of two states of a bucket the one with the higher offset counts",
        "streams/live/records.py",
        "            if known is None or known[:_THROUGH_BYTES] <= value[:_THROUGH_BYTES]:\n",
        "            if True:\n",
        OLD_STATE,
    ),
    Mutant(
        "stream: a batch must begin where the last one ended",
        "streams/live/partition.py",
        "        if (start or 0) != (self.next or 0):\n",
        "        if False:\n",
        LOST_BATCH,
    ),
)


def tree(folder: Path, mutant: Mutant | None) -> Path:
    """A copy of the tree as it is here. What set-up made is shared."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)  # compiled code is known by its source's time
    for made in ROOT.glob(".*"):
        if made.is_dir() and made.name not in (".git", COMPILED) and not (folder / made.name).exists():
            (folder / made.name).symlink_to(made)
    if mutant:
        file = folder / mutant.file
        text = file.read_text()
        if (times := text.count(mutant.old)) != 1:
            msg = f"{mutant.safeguard}: expected this once in {mutant.file}, found it {times} times:\n{mutant.old}"
            raise SystemExit(msg)
        file.write_text(text.replace(mutant.old, mutant.new))
    return folder


def run(test: str, mutant: Mutant | None, folder: Path) -> tuple[int, str]:
    """Exit code and output of the test in a tree of its own, where the one before was: what was compiled stays."""
    for old in folder.iterdir():
        if old.is_dir() and not old.is_symlink():
            if old.name != COMPILED:
                shutil.rmtree(old)
        else:
            old.unlink()
    root = tree(folder, mutant)
    options = ["-q", "-x", "-p", "no:cacheprovider", "--hypothesis-profile", "no-shrinking", "-m", ""]
    command = [sys.executable, "-m", "pytest", *options, test]
    env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    testing = subprocess.Popen(command, cwd=root, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        said, _ = testing.communicate(timeout=TEST_S)
    except subprocess.TimeoutExpired:
        process_tree.end(process_tree.tree(testing.pid), grace_s=5)
        return -1, f"the test took longer than {TEST_S} s"
    return testing.returncode, said


def judge(mutants: Sequence[Mutant], folder: Path) -> list[tuple[str, str, str]]:
    """Safeguard, verdict and seconds; the verdict begins with `caught` or does not."""
    lines: list[tuple[str, str, str]] = []
    passes: dict[str, bool] = {}
    for mutant in mutants:
        began = time.monotonic()
        if mutant.test not in passes:
            code, said = run(mutant.test, None, folder)
            passes[mutant.test] = code == 0
            if code:
                print(said[-4000:])
        if not passes[mutant.test]:
            verdict = "nothing shown: the test is red on the code as it is"
        else:
            code, said = run(mutant.test, mutant, folder)
            reasons = [line for line in RAISED.findall(said) if re.search(mutant.red, line)]
            if code == 1 and reasons:
                verdict = f"caught: {re.sub('.*' + RED + ': ', '', reasons[0]).strip()[:110]}"
            else:
                verdict = "NOT CAUGHT" if code == 0 else f"failed with {code}, but not by its verdict"
                print(said[-4000:])
        lines.append((mutant.safeguard, verdict, f"{time.monotonic() - began:.0f} s"))
        print(f"{'  '.join(lines[-1])}", flush=True)
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="only safeguards with this in their name")
    parser.add_argument("--check", action="store_true", help="only see that every text is there, in seconds")
    options = parser.parse_args()
    chosen = [mutant for mutant in MUTANTS if options.only in mutant.safeguard]
    for mutant in chosen:
        with tempfile.TemporaryDirectory() as folder:
            tree(Path(folder), mutant)
    if options.check:
        return 0
    with tempfile.TemporaryDirectory(prefix="playlake-mutant-") as folder:
        lines = judge(chosen, Path(folder))
    print("\n" + "\n".join(f"{name:<72} {took:>6}  {verdict}" for name, verdict, took in lines))
    missed = sum(not verdict.startswith("caught") for _, verdict, _ in lines)
    print(f"\n{len(lines) - missed} of {len(lines)} mutants are caught")
    return 1 if missed or not lines else 0


if __name__ == "__main__":
    sys.exit(main())
