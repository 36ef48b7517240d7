"""Shapes that all routes share: responses, errors, cursors and the OpenAPI document."""
