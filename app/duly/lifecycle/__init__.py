"""The verbs of a job's life, one room for each stage: submit, claim, run, end, and those around them."""
