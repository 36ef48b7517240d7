"""Coordination between nodes and within one: heartbeats, wake-ups, notifications, clock and readiness."""
