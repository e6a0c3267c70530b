"""Whole groups of events at once, as columns: what `schemas/sessionize.py` does, by the same fold, compiled."""
