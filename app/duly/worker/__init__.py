"""Runs attempts: the pool of slots, single attempts, and the three places where handlers run."""
