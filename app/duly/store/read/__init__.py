"""Read models: one job, lists, explanations and statistics."""
