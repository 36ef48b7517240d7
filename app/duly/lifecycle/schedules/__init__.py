"""Schedules: their definitions, and the submission of what is due."""
