"""SQL of the service: each statement is a constant above the function that executes it."""
