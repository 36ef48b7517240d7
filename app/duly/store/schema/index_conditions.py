"""Conditions of partial indexes that statements repeat."""

# The time in a client-made id, or in one with its parent's time, may differ from the time of the record. The index
# `jobs_placed` has these jobs; other ids differ by the difference of clocks at most, with a minute to spare.
PLACED = """
(digest is not null or parent_id is not null)
and abs(
    extract(epoch from created_at - timestamptz '1970-01-01 00:00:00+00')
    - ('x' || substr(job_id::text, 1, 8) || substr(job_id::text, 10, 4))::bit(48)::bigint / 1000.0
) > 240
"""
