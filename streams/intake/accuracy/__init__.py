"""How far what the platform computes is from what happened, by metric and by fault.

platform.py   records in memory through the contracts and the fold, as batch does it
metrics.py    every metric of the registry, over the platform's sessions or over the simulation's truth
report.py     one simulation, spoiled in one way after the other: the errors, their bounds, the page's table
"""
