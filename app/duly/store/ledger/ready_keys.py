"""Conditions by which statements find rows of `ready`: those of a lane, and one by its whole key.

Names are compared by their bytes, as in the index `ready_lanes`. Compared by the collation of the database, they could
also be found by `ready_pkey`, which has the jobs of all tenants in one lane. That index remains for nodes of the
previous release.
"""

_IN_LANE = """
tenant_id = {lane}.tenant_id and queue = {lane}.queue collate "C" and type = {lane}.type collate "C"
and priority = {lane}.priority
"""
# For a statement that changes rows. With `=` for the first column of the index, the planner could also join by a scan
# of the whole index in order, which looks cheap while the table is small, and generic plans are kept. A comparison of
# rows, (a, b) <= (c, d), does not help: PostgreSQL 18 stops at the end of such a range, 15 scans on to the end.
_AT_KEY = """
{row}.tenant_id = any(array[{key}.tenant_id]) and {row}.queue = {key}.queue collate "C"
and {row}.type = {key}.type collate "C" and {row}.priority = {key}.priority and {row}.job_id = {key}.job_id
"""


def in_lane(lane: str) -> str:
    """Returns the condition for ready jobs in the lane of the row `lane`."""
    return _IN_LANE.format(lane=lane).strip()


def at_key(row: str, key: str) -> str:
    """Returns the condition for the ready job `row` with the key of the row `key`: its lane and its id."""
    return _AT_KEY.format(row=row, key=key).strip()
