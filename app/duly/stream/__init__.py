"""Showing: whoever follows a job is woken when it changes, and reads what is new from the ledger."""
