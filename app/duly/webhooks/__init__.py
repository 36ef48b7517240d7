"""Webhooks: signs events and messages, and posts them to callbacks and endpoints."""
