"""Measures Duly beside a hand-written service and beside bare frameworks, in the same run: `python -m benchmarks`.

__main__      the options, the rows in turn, the report
ground        what the contestants share: one Postgres server, a folder, the sizes of the run
contestants   who runs: Duly as users start it, the naive service, the ceilings
rounds        alternating rounds, medians and spread
rows/         one row of the table each
load lives    the load generators, each in a process of its own
report        the Markdown table and the JSON file
"""
