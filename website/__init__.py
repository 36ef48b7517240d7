"""The documentation as a site, built by `make docs`."""
