"""Job handlers: registration, the job context, built-in types and the reading of parameters."""
