"""Endpoints that follow jobs: event history, SSE and WebSocket."""
