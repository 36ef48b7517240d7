"""The rules: pure values and decisions, with no input, output or clock of their own."""
