"""Every promise that can be broken, each broken by hand: what is done to which job, and what is said of it then."""

from collections.abc import Sequence

Broken = tuple[str | None, str, str]

ALSO_SCHEDULED = """
insert into scheduled (tenant_id, job_id, run_at, token, sequence, timeout_seconds, priority, attempt, crashes,
                       callback_events, reason, queue, type)
select tenant_id, job_id, now(), 0, 0, timeout_seconds, priority, 0, 0, callback_events, 0, queue, type
from jobs where job_id = $1
"""
READY_AFTER_ITS_END = """
insert into ready (tenant_id, job_id, token, sequence, timeout_seconds, priority, attempt, crashes, callback_events,
                   queue, type)
select tenant_id, job_id, 1, 2, timeout_seconds, priority, 1, 0, callback_events, queue, type
from jobs where job_id = $1
"""
TO_AN_ENDPOINT_OF_NO_EVENT = """
insert into deliveries (tenant_id, job_id, sequence, kind, receiver_id, registered)
values (1, $1, 8, 10, gen_random_uuid(), true)
"""
# Nothing can tell what the ledger itself has lost.
IN_THE_LEDGER: list[Broken] = [
    (
        "completed",
        "update events set sequence = sequence + 1 where job_id = $1 and sequence = 2",
        "event 3 follows where 2 belongs",
    ),
    (
        "completed",
        "insert into events (tenant_id, job_id, sequence, kind, attempt, source) values (1, $1, 3, 2, 1, 'test')",
        "event 3 comes after its end",
    ),
    ("completed", "update events set kind = 9 where job_id = $1 and sequence = 1", "of the unknown kind 9"),
    ("completed", "update events set tenant_id = 2 where job_id = $1", "belong to another tenant"),
    ("completed", "delete from jobs where job_id = $1", "was never recorded, and has events"),
]
IN_OTHER_TABLES: list[Broken] = [
    (
        "running",
        "delete from events where job_id = $1 and kind = 1",
        "has the status pending by its events and running where",
    ),
    ("ready", "delete from jobs where job_id = $1", "was never recorded, and has a row in a hot table"),
    ("parent", "delete from jobs where job_id = $1", "was never recorded, and has others that wait for it"),
    ("unique", "delete from jobs where job_id = $1", "was never recorded, and has a unique key"),
    ("child", "delete from jobs where job_id = $1", "was never recorded, and has others to wait for"),
    ("ready", "delete from ready where job_id = $1", "is pending by its events and stands nowhere"),
    ("scheduled", "delete from scheduled where job_id = $1", "is pending by its events and stands nowhere"),
    ("running", "delete from running where job_id = $1", "is running by its events and stands nowhere"),
    ("child", "delete from blocked where job_id = $1", "is pending by its events and stands nowhere"),
    ("ready", ALSO_SCHEDULED, "is pending by its events and stands ready and scheduled"),
    ("completed", READY_AFTER_ITS_END, "is completed by its events and stands ready"),
    ("running", "update running set token = token + 1 where job_id = $1", "has the token 1 by its events and 2 where"),
    ("running", "update running set token = 0 where job_id = $1", "has the token 1 by its events and 0 where"),
    ("running", "update running set sequence = 2 where job_id = $1", "has the sequence 1 by its events and 2 where"),
    ("retrying", "update scheduled set attempt = 2 where job_id = $1", "has the attempt 1 by its events and 2 where"),
    (
        "running",
        "update running set sequence = 7, attempt = 3, token = 4 where job_id = $1",
        "has the attempt 1 by its events and 3 where",
    ),
    ("ready", "update ready set crashes = 1 where job_id = $1", "has the crashes 0 by its events and 1 where"),
    ("ready", "update ready set queue = 'other' where job_id = $1", "with the queue default and stands (ready) with"),
    ("ready", "update ready set priority = 9 where job_id = $1", "with the priority 0 and stands (ready) with 9"),
    ("scheduled", "update scheduled set timeout_seconds = 1 where job_id = $1", "with the timeout_seconds 60.0 and"),
    ("running", "update running set callback_events = 8 where job_id = $1", "with the callback_events 0 and stands"),
    ("ready", "update ready set tenant_id = 2 where job_id = $1", "with the tenant_id 1 and stands (ready) with 2"),
    ("second of batch", "update running set batch_id = null where job_id = $1", "with the batch_id"),
    ("expiring", "update ready set expires_at = null where job_id = $1", "and at None where it stands"),
    ("stopping", "update running set cancel_requested_at = null where job_id = $1", "is wanted cancelled by"),
    ("running", "update running set cancel_requested_at = now() where job_id = $1", "is wanted cancelled by"),
    ("holder", "update running set marks = 0 where job_id = $1", "should have the marks <Mark.KEYED"),
    ("unique", "update ready set marks = 0 where job_id = $1", "should have the marks <Mark.UNIQUE"),
    ("parent", "update ready set marks = 0 where job_id = $1", "should have the marks <Mark.DEPENDED"),
    ("ready", "update ready set marks = 8 where job_id = $1", "should have the marks <Mark: 0> and has <Mark.MERGED"),
    ("running", "update running set marks = 4 where job_id = $1", "and has <Mark.DEPENDED: 4>"),
    ("running", "delete from checkpoints where job_id = $1", "should have the marks <Mark.DEPENDED: 4> and has"),
    (
        "completed",
        "insert into checkpoints (tenant_id, job_id, token, value) values (1, $1, 1, '1')",
        "is completed and has a checkpoint",
    ),
    ("child", "update blocked set waits_for = 3 where job_id = $1", "waits for 3 others, and 2 are recorded"),
    ("child", "delete from dependencies where child_id = $1", "waits for 2 others, and 0 are recorded"),
    ("child", "update blocked set reason = 5 where job_id = $1", "is blocked for no known reason (5)"),
    (
        "ready",
        "insert into dependencies (tenant_id, parent_id, child_id) select 1, job_id, $1 from running limit 1",
        "has others to wait for, and does not wait for them",
    ),
    (
        "completed",
        "insert into dependencies (tenant_id, parent_id, child_id) select 1, $1, job_id from ready limit 1",
        "has ended, and 1 others wait for it",
    ),
    ("holder", "delete from concurrency where job_id = $1", "may run without its concurrency key 'k'"),
    (
        "third of key",
        "with c as (delete from concurrency) select $1::uuid",
        "waits for the concurrency key 'k', which is free",
    ),
    (
        "ready",
        "insert into concurrency (tenant_id, key, job_id) values (1, 'mine', $1)",
        "holds the concurrency key 'mine', and is not one to hold it now",
    ),
    (
        "second of key",
        "update concurrency set job_id = $1 where key = 'k'",
        "holds the concurrency key 'k', and is not one to hold it now",
    ),
    (
        "second of key",
        "update blocked set concurrency_key = 'l' where job_id = $1",
        "waits for the concurrency key 'l', which is not its own",
    ),
    ("unique", "delete from unique_keys where job_id = $1", "is unfinished, but no job holds its unique key 'v'"),
    (
        "completed",
        "insert into unique_keys (tenant_id, type, key, job_id) values (1, 'echo', 'w', $1)",
        "holds the unique key 'w', and has no right to it",
    ),
    (
        "unique",
        "update unique_keys set key = 'x' where job_id = $1",
        "holds the unique key 'x', and has no right to it",
    ),
    (
        "completed",
        "insert into endings (tenant_id, job_id, sequence, kind, marks) values (1, $1, 1, 10, 4)",
        "did not end at 1",
    ),
    ("completed", "delete from deliveries where job_id = $1 and kind = 10", "has no webhook for its events 2"),
    ("completed", "delete from deliveries where job_id = $1", "has no webhook for its events 1, 2"),
    (
        "completed",
        "update deliveries set sequence = 7 where job_id = $1 and kind = 10",
        "has a webhook of an event that does not exist: 7",
    ),
    ("completed", TO_AN_ENDPOINT_OF_NO_EVENT, "has a webhook of an event that does not exist: 8"),
    ("batch", "delete from batches where batch_id = $1", "was never recorded, and has 2 jobs"),
    ("batch", "update batches set total = 3 where batch_id = $1", "says 3 jobs from"),
    ("batch", "update batches set last_id = first_id where batch_id = $1", "says 2 jobs from"),
    (
        "batch",
        "update batches set completed = 0 where batch_id = $1",
        "counts 0 completed, 0 failed, 0 cancelled, and by the events of its jobs it is 1 completed",
    ),
    ("batch", "update batches set failed = 1 where batch_id = $1", "counts 1 completed, 1 failed, 0 cancelled, and by"),
    (
        "batch",
        "insert into batch_tallies (tenant_id, batch_id, completed, failed, cancelled) values (1, $1, 1, 0, 0)",
        "counts 2 completed",
    ),
    ("batch", "update batches set completed_at = now() where batch_id = $1", "is marked as complete, and is not"),
    (None, "delete from control", "the version of what holds claims back is missing: nothing is claimed"),
]
BROKEN = IN_THE_LEDGER + IN_OTHER_TABLES


def named(broken: Sequence[Broken]) -> list[str]:
    """Names for tests: the job, and the sentence."""
    return [f"{name} {said}" for name, _, said in broken]
