"""Files for operators: alert rules, a dashboard and their generator."""
