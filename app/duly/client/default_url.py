"""URL of a service that was started without settings."""

DEFAULT_URL = "http://127.0.0.1:8000"
