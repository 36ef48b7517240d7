"""Child processes in which handlers run with `isolation="process"`."""
