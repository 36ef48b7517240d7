"""Statements of webhooks: endpoints, receivers, deliveries and replays."""
