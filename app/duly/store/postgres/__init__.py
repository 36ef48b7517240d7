"""Connections to Postgres: sessions, errors, locks and notifications."""
