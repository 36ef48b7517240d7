"""Other job queues, each with its documented best settings, on the same Postgres (or a Redis) as the rest of the run.

catalog       who they are: settings, sizes, and how each store tells that nothing is unfinished
installing    an environment for each under `.peers/`, from the locks in requirements/, made when first wanted
stores        where their jobs lie: a new database of the run's server, or a Redis of the round's own
conversation  one process of a peer: lines to it and from it, with a bound on every wait
sides         a peer on such a store: starts its processes
measuring     one round of a peer in each row: in bulk, processed, picked up
inside/       what runs in a peer's own environment

A peer is measured through its own library in its own language, with no HTTP before it: its call is what its users make.
"""
