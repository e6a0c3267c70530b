"""Answers over a warehouse of 100 M sessions: made here, then asked alone, by pages, and by many at once.

files.py     the warehouse: rows by DuckDB, in the files and under the views that a publish makes
live.py      live minutes, as a stream worker publishes them
viewers.py   50 dashboards and 20 SQL users at once
measure.py   what is timed, and the tables
"""

from benchmarks.serving.measure import measure as measure
