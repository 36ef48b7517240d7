"""Workers over HTTP: leases of jobs, their heartbeats and their ends."""
