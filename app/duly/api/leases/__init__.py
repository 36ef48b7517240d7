"""Workers over HTTP: `/api/v1/leases`."""
