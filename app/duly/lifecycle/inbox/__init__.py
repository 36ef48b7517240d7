"""Inbox: submissions from transactions of other programs, until they are recorded as jobs."""
