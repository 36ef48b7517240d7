"""The SQL: a file a table, each statement a constant above the one function that runs it."""
