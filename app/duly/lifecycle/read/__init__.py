"""Reads of jobs: current state, waiting for a change, run times and explanations."""
