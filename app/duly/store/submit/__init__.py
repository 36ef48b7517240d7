"""Statements of a submission: jobs, batches, idempotency keys and submission limits."""
