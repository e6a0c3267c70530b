"""The table of open sessions: it takes stored buckets of any size, one after the other, and forgets what is dropped."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.live.sessions import FIRST_ROWS, SESSION, Sessions

SIZES = st.lists(st.integers(0, 4 * FIRST_ROWS), min_size=1, max_size=6)


@settings(max_examples=40, deadline=None)
@given(sizes=SIZES, dropped=st.integers(0, 5))
def test_buckets_of_any_size_are_taken_over(sizes: list[int], dropped: int) -> None:
    sessions = Sessions()
    given_groups = {}
    for bucket, size in enumerate(sizes):
        stored = np.zeros(size, SESSION)
        stored["group_1"], stored["group_2"] = np.arange(size) * 7919, bucket
        given_groups[bucket] = stored["group_1"].tolist()
        sessions.add(stored, bucket)
        if bucket == dropped:
            sessions.drop(sessions.of(bucket))
            given_groups[bucket] = []
    assert len(sessions) == sum(map(len, given_groups.values()))
    for bucket, groups in given_groups.items():
        rows = sessions.table.rows[sessions.of(bucket)]
        assert sorted(rows["group_1"].tolist()) == sorted(groups)
        assert (rows["group_2"] == bucket).all()
