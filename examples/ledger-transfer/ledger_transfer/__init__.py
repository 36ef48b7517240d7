"""Transfers between two databases under `kill -9`: steps, compensation and reconciliation, with exact sums."""
