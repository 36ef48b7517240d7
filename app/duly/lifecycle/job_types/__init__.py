"""Job types: those of this node's handlers, and those that are declared in the database."""
