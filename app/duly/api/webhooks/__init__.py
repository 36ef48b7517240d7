"""Endpoints of registered webhooks: endpoints, deliveries and replays."""
