"""Signals to jobs: sending them, and signed links by which people send them."""
