"""Streams of events: followers are woken when a job changes, and read new events from the ledger."""
