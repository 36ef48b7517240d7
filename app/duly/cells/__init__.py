"""Several cells in one process: a node for each, in front of them a router, and the configuration that they share."""
