"""Relay: submits the rows of an outbox table in any database, each once."""
