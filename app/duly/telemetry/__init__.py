"""Logs and metrics: what happened, for operators. Nothing here decides anything."""
