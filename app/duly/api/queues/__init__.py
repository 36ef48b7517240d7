"""Endpoints of queues and job types: figures, pauses, limits and circuit breakers."""
