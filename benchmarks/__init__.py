"""Measures Duly beside others in the same run, and writes docs/internals/performance.md: `python -m benchmarks`.

__main__      the options, the rows in turn, the report
ground        what the contestants share: one Postgres server, a folder, the sizes of the run
contestants   who runs: Duly as users start it, the naive service, the ceilings; `peers/`: other job systems
rounds        alternating rounds, medians and spread
rows/         one row of the table each
growth        what the rows G1 to G6 share: a part of S1 and S3 on a ledger that is given, and ratios
ledgers       ledgers that are long already, filled by SQL
load reads    closed loops: the next request when the last was answered
crowd arrivals  an open loop: requests at a rate of their own, whether or not the last were answered
post_clients  posts of webhooks by one HTTP client or another
receiver receiving  who is posted to, and black holes; outboxes: endpoints, and what waits for them
told black_holes  when whoever is told hears of a job's end: alone, and beside receivers that never answer
lives steady  whole lives with their webhooks: as many as the service keeps up with, and at a fixed rate
sampling over_time  what is looked at each second, and rounds that are told second by second
targets       what was aimed at; how a row is judged
record report words  what was measured: as JSON, as tables
page plots    docs/internals/performance.md and its pictures
guard         a look at two ratios for every change
"""
