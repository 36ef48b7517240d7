"""Ends of jobs: finish, cancel, retry, and follow-ups for other jobs."""
