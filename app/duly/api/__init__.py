"""HTTP in: a file a section of the contract, its models beside its endpoints."""
