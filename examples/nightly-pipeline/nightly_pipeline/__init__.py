"""A nightly pipeline over the flights from New York: docs/examples/nightly-pipeline.md."""
