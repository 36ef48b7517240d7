"""Ends of attempts in two statements: a short one for most jobs, and one for jobs with steps to compensate.

The short one does not find the others, which are then recorded by the other one.
"""

from collections.abc import Awaitable, Callable, Sequence

from duly.domain.job import Finish, Finished
from duly.lifecycle.writes.bisection import Bisected

Ends = Bisected[Finish, list[Finished]]
Record = Callable[[Sequence[Finish]], Awaitable[Ends]]


async def record_in_two(ends: Sequence[Finish], short: Record, long: Record) -> Ends:
    """Records ends by the short statement, and by the long one those that the short one does not find."""
    first = await short(ends)
    missing: list[Finish] = []
    for index, (part, finished) in enumerate(first.parts):
        if len(finished) < len(part):
            found = {done.job_id for done in finished}
            missing += [end for end in part if end.job_id not in found]
            first.parts[index] = [end for end in part if end.job_id in found], finished
    if first.away is not None:
        first.left += missing
        return first
    if not missing:
        return first
    second = await long(missing)
    return Bisected(first.parts + second.parts, first.refused + second.refused, second.left, second.away)
