"""Schedules: their definitions, and the submission of due jobs."""
