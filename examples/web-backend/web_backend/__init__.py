"""Web backend with a live progress bar: docs/examples/web-backend.md."""
