"""Creates services from a template: docs/examples/service-template.md."""
