"""Traces and metrics by OTLP. Imported only where an OTLP endpoint is set: it needs the extra `duly[otel]`."""
