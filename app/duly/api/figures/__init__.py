"""Routes of figures over time, of nodes, and of the scaling signal."""
