"""Ends of jobs: finish, cancel, retry, and the effects of an end on other jobs."""
