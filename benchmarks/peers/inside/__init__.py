"""The side of the benchmark that runs in a peer's environment: only the standard library and that peer are there.

`python -m benchmarks.peers.inside MODULE TASK PLAN` (or `node MODULE.mjs TASK PLAN`) does one of four tasks:

prepare  makes the tables
submit   makes the library's bulk call until the time is over or the jobs are used up; prints one line of JSON
single   reads an index a line, submits that job alone, prints `sent INDEX NANOSECONDS`: when the call began
work     runs the worker; its handler prints `started INDEX NANOSECONDS`

The clock is the monotonic one, which all processes of a machine share.
"""
