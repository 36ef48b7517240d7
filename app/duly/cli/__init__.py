"""Command line: `commands` and `job_commands` hold the flags, the other modules what the commands do."""
