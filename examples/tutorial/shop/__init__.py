"""The application of Duly's tutorial: docs/get-started/tutorial.md."""
