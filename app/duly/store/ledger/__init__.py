"""The append-only ledger: events, outbox, results, logs, checkpoints and its partitions."""
