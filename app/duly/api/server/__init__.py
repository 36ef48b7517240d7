"""The HTTP server before any route: connections, protocols, authentication, limits and health."""
