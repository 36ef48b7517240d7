"""Chaos runs: several services on one database, faults at random, and a checker that reads only what outsiders saw.

`facts.py` is what was seen, and `checker.py` judges it. `traffic.py` and `followers.py` submit and read, `faults.py`
harms, and `__main__.py` runs them from a seed and prints a table.
"""
