"""Where other people's SQL runs: a one-shot process that can read the warehouse's files and do nothing else.

    pool.py      the parent's side: warm children, places, answers
    child.py     one of its processes: limits from outside, the answer as it comes
    worker.py    the child's side: attach, lock, run one statement, answer, exit
    frames.py    what the two say to each other
    mistakes.py  what a failed query is told: where it is wrong, which names are near
    gate.py      which statements are let through
    confine.py   what the operating system forbids the child

DuckDB's own read-only switches do not hold against a hostile statement (an attached path stays writable through a
second ATTACH or a COPY), so three layers stand behind each other: DuckDB's locks in the one order that works, the gate,
and Landlock. tests/warehouse/test_sandbox_attacks.py tries to break each of them with the others taken away.
"""
