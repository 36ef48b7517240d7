"""Endpoints of jobs: submit, read, list, explain, cancel and retry."""
