"""Submit: from a validated submission to a durable job."""
