"""Endpoints of batches, as one JSON document or as NDJSON."""
