"""SQL of what cells have in common: the configuration, which is written in cell 0 and copied to the others."""
