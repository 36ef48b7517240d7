"""Code that runs in a peer's environment, which contains only the standard library and that peer.

`python -m benchmarks.peers.adapters MODULE TASK PLAN` (or `node MODULE.mjs TASK PLAN`) runs one of four tasks:

prepare  creates the tables
submit   repeats the library's bulk call until the time has elapsed or all jobs are submitted; prints one line of JSON
single   reads one index per line, submits that job alone, prints `sent INDEX NANOSECONDS`: the start of the call
work     runs the worker; its handler prints `started INDEX NANOSECONDS`

Times are of the monotonic clock, which all processes of a machine share.
"""
