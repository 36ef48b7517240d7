"""Writes that isolate a failing item, so that all others are recorded."""
