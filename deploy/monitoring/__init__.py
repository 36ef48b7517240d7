"""Alert rules, dashboard and documentation of the metrics, generated from one list of metrics."""
