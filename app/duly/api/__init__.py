"""HTTP API: the server, and the endpoints by resource with their models beside them."""
