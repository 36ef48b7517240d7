"""Maintenance: sweep, check, repair, redelivery, key rotation and diagnosis."""
