"""The metrics: each is defined once, in a module of this folder, and everything else is made of that.

    plays.py time.py startup.py stalls.py delivery.py audience.py engagement.py ads.py scores.py telemetry.py   the
                  definitions
    registry.py   all of them, in the order of the page
    parts.py      the additive parts of whole sessions and of ads, beside those of minutes (`schemas/quality.py`)
    macros.py     → warehouse/metrics.sql, and what Spark's gold tables take of it
    page.py       → docs/metrics.md
    example.py    worked examples as events

A new metric is one entry in one of the first ten; `make contracts` does the rest. Its examples run as tests
(`tests/schemas/metrics`).
"""
