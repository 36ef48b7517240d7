"""Verification and management of API keys and tenants."""
