"""Violations of every invariant: the job, the statement that causes it, and the text of the finding."""

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
STILL_IN_THE_INBOX = """
insert into inbox (tenant_id, job_id, called_at, size, queue, type, parameters, options)
select tenant_id, job_id, now(), 4, queue, type, parameters, '{}' from jobs where job_id = $1
"""
A_LEASE = """
insert into leases (tenant_id, job_id, token, lease_seconds, expires_at) values (1, $1, 1, 30, now())
"""
# Losses of the ledger itself cannot be repaired.
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
    ("completed", "update events set kind = 99 where job_id = $1 and sequence = 1", "of the unknown kind 99"),
    ("completed", "update events set tenant_id = 2 where job_id = $1", "has rows of another tenant"),
    ("completed", "delete from jobs where job_id = $1", "not recorded, but has events"),
]
IN_OTHER_TABLES: list[Broken] = [
    (
        "running",
        "delete from events where job_id = $1 and kind = 1",
        "status is pending by its events, but running in",
    ),
    ("ready", "delete from jobs where job_id = $1", "not recorded, but has a row in a hot table"),
    ("parent", "delete from jobs where job_id = $1", "not recorded, but has dependents"),
    ("unique", "delete from jobs where job_id = $1", "not recorded, but has a unique key"),
    ("child", "delete from jobs where job_id = $1", "not recorded, but has dependencies"),
    ("ready", "delete from ready where job_id = $1", "pending, but has no row in ready, scheduled, blocked or running"),
    (
        "scheduled",
        "delete from scheduled where job_id = $1",
        "pending, but has no row in ready, scheduled, blocked or running",
    ),
    (
        "running",
        "delete from running where job_id = $1",
        "running, but has no row in ready, scheduled, blocked or running",
    ),
    (
        "child",
        "delete from blocked where job_id = $1",
        "pending, but has no row in ready, scheduled, blocked or running",
    ),
    ("ready", ALSO_SCHEDULED, "pending, but has a row in ready and scheduled"),
    ("completed", READY_AFTER_ITS_END, "completed, but has a row in ready"),
    ("running", "update running set token = token + 1 where job_id = $1", "token is 1 by its events, but 2 in"),
    ("running", "update running set token = 0 where job_id = $1", "token is 1 by its events, but 0 in"),
    ("running", "update running set sequence = 2 where job_id = $1", "sequence is 1 by its events, but 2 in"),
    ("retrying", "update scheduled set attempt = 2 where job_id = $1", "attempt is 1 by its events, but 2 in"),
    (
        "running",
        "update running set sequence = 7, attempt = 3, token = 4 where job_id = $1",
        "attempt is 1 by its events, but 3 in",
    ),
    ("ready", "update ready set crashes = 1 where job_id = $1", "crashes is 0 by its events, but 1 in"),
    ("ready", "update ready set queue = 'other' where job_id = $1", "queue is default in jobs, but other in ready"),
    ("ready", "update ready set priority = 9 where job_id = $1", "priority is 0 in jobs, but 9 in ready"),
    (
        "scheduled",
        "update scheduled set timeout_seconds = 1 where job_id = $1",
        "timeout_seconds is 60.0 in jobs, but 1.0",
    ),
    ("running", "update running set callback_events = 8 where job_id = $1", "callback_events is 0 in jobs, but 8"),
    ("ready", "update ready set tenant_id = 2 where job_id = $1", "tenant_id is 1 in jobs, but 2 in ready"),
    ("second of batch", "update running set batch_id = null where job_id = $1", "in jobs, but None in running"),
    ("expiring", "update ready set expires_at = null where job_id = $1", "in jobs, but None in ready"),
    (
        "stopping",
        "update running set cancel_requested_at = null where job_id = $1",
        "cancellation is requested either by",
    ),
    (
        "running",
        "update running set cancel_requested_at = now() where job_id = $1",
        "cancellation is requested either by",
    ),
    ("holder", "update running set marks = 0 where job_id = $1", "marks should be <Mark.KEYED"),
    ("unique", "update ready set marks = 0 where job_id = $1", "marks should be <Mark.UNIQUE"),
    ("parent", "update ready set marks = 0 where job_id = $1", "marks should be <Mark.DEPENDED"),
    ("ready", "update ready set marks = 8 where job_id = $1", "marks should be <Mark: 0>, but are <Mark.MERGED"),
    ("running", "update running set marks = 4 where job_id = $1", "but are <Mark.DEPENDED: 4>"),
    ("running", "delete from checkpoints where job_id = $1", "marks should be <Mark.DEPENDED: 4>, but are"),
    (
        "completed",
        "insert into checkpoints (tenant_id, job_id, token, value) values (1, $1, 1, '1')",
        "is completed, but has a checkpoint",
    ),
    (
        "running",
        "update running set marks = marks | 128 where job_id = $1",
        "runs on a worker over HTTP, but has no lease",
    ),
    ("running", A_LEASE, "has a lease, but does not run under one"),
    ("completed", A_LEASE, "has a lease, but does not run under one"),
    ("child", "update blocked set waits_for = 3 where job_id = $1", "waits_for is 3, but 2 dependencies are recorded"),
    ("child", "delete from dependencies where child_id = $1", "waits_for is 2, but 0 dependencies are recorded"),
    ("child", "update blocked set reason = 5 where job_id = $1", "is blocked for an unknown reason (5)"),
    (
        "ready",
        "insert into dependencies (tenant_id, parent_id, child_id) select 1, job_id, $1 from running limit 1",
        "has dependencies, but does not wait for them",
    ),
    (
        "completed",
        "insert into dependencies (tenant_id, parent_id, child_id) select 1, $1, job_id from ready limit 1",
        "has ended, but it still holds back 1 job",
    ),
    ("holder", "delete from concurrency where job_id = $1", "may run, but does not hold its concurrency key 'k'"),
    (
        "third of key",
        "with c as (delete from concurrency) select $1::uuid",
        "waits for the concurrency key 'k', which is free",
    ),
    (
        "ready",
        "insert into concurrency (tenant_id, key, job_id) values (1, 'mine', $1)",
        "holds the concurrency key 'mine', but must not in its state",
    ),
    (
        "second of key",
        "update concurrency set job_id = $1 where key = 'k'",
        "holds the concurrency key 'k', but must not in its state",
    ),
    (
        "second of key",
        "update blocked set concurrency_key = 'l' where job_id = $1",
        "waits for the concurrency key 'l', which is not its own",
    ),
    ("unique", "delete from unique_keys where job_id = $1", "unfinished, but no job holds its unique key 'v'"),
    (
        "completed",
        "insert into unique_keys (tenant_id, type, key, job_id) values (1, 'echo', 'w', $1)",
        "holds the unique key 'w', but it has ended or has another key",
    ),
    (
        "unique",
        "update unique_keys set key = 'x' where job_id = $1",
        "holds the unique key 'x', but it has ended or has another key",
    ),
    (
        "completed",
        "insert into endings (tenant_id, job_id, sequence, kind, marks) values (1, $1, 1, 10, 4)",
        "pending follow-ups for events that are not its ends: 1",
    ),
    (
        "completed",
        "delete from deliveries where job_id = $1 and kind = 10",
        "no delivery to its callback for the events 2",
    ),
    ("completed", "delete from deliveries where job_id = $1", "no delivery to its callback for the events 1, 2"),
    (
        "completed",
        "update deliveries set sequence = 7 where job_id = $1 and kind = 10",
        "has deliveries for events that do not exist: 7",
    ),
    ("completed", TO_AN_ENDPOINT_OF_NO_EVENT, "has deliveries for events that do not exist: 8"),
    ("stepped", "delete from steps where job_id = $1", "has no row of the step 'charge'"),
    ("stepped", "update steps set sequence = 9 where job_id = $1", "step 'charge' is (2, "),
    ("stepped", "update steps set name = 'other' where job_id = $1", "has a row of the step 'other', which its events"),
    ("stepped", "update running set marks = 0 where job_id = $1", "marks should be <Mark.STEPS"),
    ("stepped", "delete from running where job_id = $1", "running, but has no row in ready"),
    (
        "stepped",
        "delete from signals where job_id = $1",
        "its signals are {'early': 3} by its events, but {}",
    ),
    ("parked", "delete from steps where job_id = $1 and kind = 3", "has no row of the wait 'approval'"),
    ("parked", "update steps set status = 1 where job_id = $1", "wait 'pause' is (3, "),
    ("parked", "delete from scheduled where job_id = $1", "pending, but has no row in ready, scheduled, blocked or"),
    (
        "parked",
        "update scheduled set reason = 1 where job_id = $1",
        "is parked by its events, but its row in",
    ),
    (
        "awaiting",
        "delete from dependencies where child_id = $1",
        "waits for child jobs, but no dependency is recorded",
    ),
    ("awaiting", "delete from scheduled where job_id = $1", "has dependencies, but does not wait for them"),
    ("awaiting", "update scheduled set reason = 5 where job_id = $1", "has dependencies, but does not wait for them"),
    ("answered", "update steps set status = 0 where job_id = $1", "wait 'approval' is (3, "),
    ("batch", "delete from batches where batch_id = $1", "not recorded, but has 2 jobs"),
    ("batch", "update batches set total = 3 where batch_id = $1", "has 3 jobs from"),
    ("batch", "update batches set last_id = first_id where batch_id = $1", "has 2 jobs from"),
    (
        "batch",
        "update batches set completed = 0 where batch_id = $1",
        "counts are 0 completed, 0 failed, 0 cancelled, but 1 completed",
    ),
    (
        "batch",
        "update batches set failed = 1 where batch_id = $1",
        "counts are 1 completed, 1 failed, 0 cancelled, but",
    ),
    (
        "batch",
        "insert into batch_tallies (tenant_id, batch_id, completed, failed, cancelled) values (1, $1, 1, 0, 0)",
        "counts are 2 completed",
    ),
    ("batch", "update batches set completed_at = now() where batch_id = $1", "is marked as complete, but is not"),
    ("ready", STILL_IN_THE_INBOX, "recorded, but its submission is still in the inbox"),
    (None, "delete from control", "the version of claim restrictions is missing, so no job is claimed"),
]
BROKEN = IN_THE_LEDGER + IN_OTHER_TABLES


def named(broken: Sequence[Broken]) -> list[str]:
    """Returns names for tests: the job, and the finding."""
    return [f"{name} {said}" for name, _, said in broken]
