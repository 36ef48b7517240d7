"""Logs and metrics for operators. Nothing here affects behaviour."""
