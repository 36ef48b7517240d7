"""Other job systems, each with the best settings its documentation offers, on the same Postgres (or on Redis).

catalog         settings and sizes of each peer, and the query that counts its unfinished jobs
environments    a virtual environment for each peer under `.peers/`, created on first use from requirements/*.lock
stores          database or Redis server that stores the jobs of a peer for one round
line_process    a process that reads and prints lines, with a time limit on every wait
peer_processes  the processes of a peer on such a store
measurements    one round of a peer in each row: submit in bulk, run jobs, pick-up latency
adapters/       code that runs in a peer's own environment

A peer is called through its own library in its own language, without HTTP, as its users call it.
"""
