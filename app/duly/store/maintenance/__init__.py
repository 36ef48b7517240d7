"""Statements of checks, repairs, key rotation and diagnosis."""
