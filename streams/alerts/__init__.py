"""Alerts over the live minutes.

`detector.py` says how incidents are found, `evaluator.py` when an alert opens and closes, `rule.py` what a rule is;
`worker.py` is the process, `stored.py` its memory, `delivery.py` its voice.
"""
