"""Ties between jobs: unique keys, concurrency keys, dependencies and child jobs."""
