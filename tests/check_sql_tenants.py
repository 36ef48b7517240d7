"""Check that every statement over data of tenants names the tenant, or has a reason not to; run by `make check`."""

import sys
from collections.abc import Mapping

from tests.support.sql_tables import statements, tables_without_tenant

# Tables that statements use without the tenant, by reason.
EXCEPTIONS: Mapping[str, Mapping[str, str]] = {
    "Before the tenant is known: by a digest, the id of a key, or a name": {
        "access.api_keys.USED": "api_keys",
        "access.tenants.ADD": "tenants",
        "access.tenants.FIND": "tenants",
        "access.tenants.HOLD": "tenants",
        "access.version.READ": "api_keys",
        "ledger.stream_tickets.INSERT_TICKET": "stream_tickets",
        "ledger.stream_tickets.REDEEM_TICKET": "stream_tickets",
        "webhooks.endpoints.TENANT_OF": "endpoints",
    },
    "Whether an id is taken by any tenant; the result shows that and no more": {
        "ties.unique_keys_and_dependencies.FIND_IDS": "jobs",
    },
    "Of operators": {
        "access.submitters.HAS_TENANTS": "submitters",
        "access.tenants.LIST": "tenants",
        "ledger.retention_holds.DELETE": "retention_holds",
        "ledger.retention_holds.LIST": "retention_holds tenants",
    },
    "Writes of attempts and of dispatchers, which no client names: by the id and fenced by the lease token": {
        "ledger.checkpoints.RECORD_CHECKPOINTS_IF_HELD": "running",
        "ledger.compensation.RECORD_COMPENSATED_IF_HELD": "running",
        "ledger.steps.RECORD_STEPS_IF_HELD": "running",
        "queue.park.PARK_IF_HELD": "leases running",
        "ties.waiting_parents.PARK_FOR_CHILDREN_IF_HELD": "running",
        "queue.running.RECORD_PROGRESS_IF_HELD": "endpoints running",
        "queue.running.FINISH_COMPENSATING_IF_HELD": "checkpoints endpoints leases running unique_keys",
        "queue.running.FINISH_IF_HELD": "checkpoints endpoints leases running unique_keys",
        "queue.running.MOVE_DEADLINES_IF_HELD": "running",
        "webhooks.delivery_attempts.SETTLE_IF_HELD": "deliveries receivers",
        "webhooks.delivery_attempts.PUT_OFF_IF_HELD": "deliveries",
        "webhooks.take_deliveries.PUT_BACK_IF_HELD": "deliveries",
        "webhooks.receivers.LOCK_RECEIVERS": "receivers",
        "webhooks.receivers.UPDATE_RECEIVERS": "receivers",
        "webhooks.receivers.DISABLE_ENDPOINT": "receivers",
    },
    "By ids of rows that the same statement found by their tenant; `endpoints` is only tested for any row": {
        "ledger.end_jobs.END_WAITING_JOBS": "checkpoints dependencies endpoints unique_keys",
        "queue.leases.DROP_LEFT_CHECKPOINTS": "checkpoints",
        "queue.running.FINISH_COMPENSATING_LEASES_IF_HELD": "checkpoints endpoints leases unique_keys",
        "queue.running.FINISH_LEASES_IF_HELD": "checkpoints endpoints leases unique_keys",
        "submit.jobs.SUBMIT_STARTING": "endpoints",
    },
    "Copies between cells, of all tenants": {
        "cells.configuration.NOTE_USES": "api_keys",
        "cells.configuration.READ_USES": "api_keys",
        "cells.endpoints.READ_DISABLED": "endpoints",
        "cells.endpoints.WRITE_ENDPOINTS": "endpoints",
        "cells.restrictions.READ_LIMITED_QUEUES": "limits",
        "cells.restrictions.READ_PAUSED": "queues",
        "cells.restrictions.READ_START_LIMITS": "limits",
    },
    "Whether a database holds any job; the result says that and no more": {
        "cells.cell_record.READ_USED": "jobs",
    },
    "Claims, by lanes of tenants": {
        "queue.claim_limited.CLAIM_LIMITED": "endpoints events running",
        "queue.claim_limited.CLAIM_LIMITED_EXCLUDING": "endpoints events running",
        "queue.flow_control.READ_CONTROL": "breakers limits queues",
        "queue.limits.MARK_RUNNING": "running",
        "queue.ready.CLAIMED": "events",
        "queue.ready.CLAIM": "endpoints events",
        "queue.ready.CLAIM_EXCLUDING": "endpoints events",
        "queue.ready.FIND_LANES": "ready",
        "queue.claim_limited.LEASE_LIMITED": "endpoints events running",
        "queue.claim_limited.LEASE_LIMITED_EXCLUDING": "endpoints events running",
        "queue.ready.CLAIMED_FOR_LEASES": "events",
        "queue.ready.LEASE": "endpoints events",
        "queue.ready.LEASE_EXCLUDING": "endpoints events",
    },
    "Loops of the service, over all tenants": {
        "figures.depth_samples.READ_OLDEST_OF_EACH": "ready",
        "figures.minute_figures.DELETE_OLD_FIGURES": "minute_figures",
        "ledger.checkpoints.DELETE_CHECKPOINTS": "checkpoints",
        "ledger.end_jobs.FIND_EXPIRED": "blocked ready scheduled",
        "ledger.end_jobs.READ_NEXT_EXPIRY": "blocked ready scheduled",
        "maintenance.due_work.READ_DUE_WORK": "api_keys batch_tallies blocked deliveries endings inbox ready "
        "receivers replays running scheduled",
        "ledger.pending_follow_ups.TAKE_FOLLOW_UPS": "endings",
        "ledger.pending_follow_ups.FIND_STILL_ENDED": "events",
        "ledger.retention.LONGEST": "tenants",
        "ledger.retention.HAS_RECENT_ENDS": "events",
        "queue.leases.DELETE_STALE_LEASES": "leases running",
        "queue.declared_types.FORGET_TYPES": "blocked ready running scheduled",
        "queue.queue_names.FORGET_NAMES": "queue_names",
        "queue.queue_names.KEEP_NAMES": "blocked queue_names running scheduled",
        "queue.nodes.RENEW_LEASE": "running",
        "queue.running.FIND_HELD": "running",
        "queue.leases.FIND_LEASED_SINCE": "running",
        "queue.running.FIND_OVERDUE": "set_aside",
        "queue.scheduled.RELEASE_DUE": "scheduled",
        "queue.park.RESUME_DUE": "scheduled steps",
        "queue.scheduled.FIND_FIRST_DUE.DueKind.PLAIN": "scheduled",
        "queue.scheduled.FIND_FIRST_DUE.DueKind.KEYED": "scheduled",
        "queue.scheduled.FIND_FIRST_DUE.DueKind.PARKED": "scheduled",
        "queue.scheduled.READ_NEXT_DUE": "scheduled",
        "queue.schedules.DELETE_OLD_RUNS": "schedule_runs",
        "queue.set_aside.RECORD_SET_ASIDE": "endings",
        "queue.set_aside.DELETE_SET_ASIDE": "set_aside",
        "queue.set_aside.DELETE_OLD_SET_ASIDE": "set_aside",
        "queue.set_aside.READ_SET_ASIDE": "running",
        "read.queue_stats.READ_ALL_OLDEST_AGES": "ready",
        "read.upkeep.COUNT_TYPES_WITHOUT_WORKER": "ready",
        "read.upkeep.READ_SCHEDULES_LATE": "schedules",
        "submit.batches.TAKE_TALLIES": "batch_tallies",
        "submit.inbox.FIND_ANY": "inbox",
        "submit.inbox.READ_OLDEST_AGE": "inbox",
        "submit.inbox.TAKE": "inbox",
        "submit.idempotency.DELETE_EXPIRED": "idempotency",
        "webhooks.receivers.DELETE_HEALTHY": "receivers",
        "webhooks.receivers.DELETE_IDLE": "deliveries receivers",
        "webhooks.receivers.DELETE_ORPHANED": "receivers",
        "webhooks.receivers.COUNT_OPEN": "receivers",
        "webhooks.replays.FIND_OPEN_REPLAYS": "replays",
        "webhooks.replays.COUNT_DUE": "deliveries",
        "webhooks.take_deliveries.TAKE_DUE": "deliveries events receivers",
        "webhooks.take_deliveries.TAKE_GATED": "deliveries events receivers",
        "webhooks.take_deliveries.READ_TAKEN": "deliveries events",
        "webhooks.take_deliveries.HAS_GATED": "receivers",
        "webhooks.take_deliveries.READ_NEXT_DUE": "deliveries receivers",
    },
    "Follow-ups of ended jobs, by their ids: dependencies and keys are of one tenant": {
        "ties.placement.TAKE_DUE_KEYED": "scheduled",
        "ties.placement.FIND_KEYS": "concurrency",
        "ties.placement.TRANSFER_KEYS": "blocked",
        "ties.placement.FIND_CHILDREN": "dependencies",
        "ties.placement.LOCK_CHILDREN": "blocked",
        "ties.placement.COUNT_DOWN": "blocked dependencies",
        "ties.placement.DELETE_BLOCKED": "blocked",
        "ties.placement.FIND_DOOMED": "dependencies",
        "ties.waiting_parents.LOCK_WAITING_PARENTS": "scheduled",
        "ties.waiting_parents.RESUME_WAITING_PARENTS": "dependencies scheduled",
    },
    "`duly check`, `duly doctor` and `duly secrets`, over the whole database": {
        "maintenance.accepted_jobs.READ_ACCEPTED": "events inbox jobs",
        "maintenance.diagnosis.COUNT_SET_ASIDE": "set_aside",
        "maintenance.diagnosis.HAS_SIGNALS": "signals",
        "submit.inbox.FIND_RECORDED_IN_INBOX": "inbox",
        "maintenance.invariant_snapshot.READ_ALL_JOBS": (
            "blocked checkpoints concurrency deliveries delivery_attempts dependencies endings events jobs leases ready"
            " running scheduled steps unique_keys"
        ),
        "maintenance.invariant_snapshot.READ_JOBS": (
            "blocked checkpoints concurrency deliveries delivery_attempts dependencies endings events leases ready"
            " running scheduled steps unique_keys"
        ),
        "maintenance.invariant_snapshot.FIND_WITHOUT_SUCCESSOR": "events",
        "maintenance.step_records.READ_ALL_STEPS": "events signals steps",
        "maintenance.step_records.FIND_UNCOMPENSATED": "steps",
        "maintenance.step_records.READ_STEPS_OF": "events signals steps",
        "maintenance.step_records.DELETE_STEPS": "steps",
        "maintenance.step_records.DELETE_SIGNALS": "signals",
        "maintenance.invariant_snapshot.READ_ALL_BATCHES": "batch_tallies batches events jobs",
        "maintenance.invariant_snapshot.READ_BATCHES": "batch_tallies batches events jobs",
        "maintenance.repair_writes.DELETE_HOT_ROWS.0": "ready",
        "maintenance.repair_writes.DELETE_HOT_ROWS.1": "scheduled",
        "maintenance.repair_writes.DELETE_HOT_ROWS.2": "blocked",
        "maintenance.repair_writes.DELETE_HOT_ROWS.3": "running",
        "maintenance.repair_writes.DELETE_DEPENDENCIES": "dependencies",
        "maintenance.repair_writes.DELETE_LEASES": "leases",
        "maintenance.repair_writes.RELEASE_KEYS": "concurrency",
        "maintenance.repair_writes.DELETE_UNIQUE_KEYS": "unique_keys",
        "maintenance.repair_writes.DELETE_CHECKPOINTS": "checkpoints",
        "maintenance.repair_writes.DELETE_NUMBERED.endings": "endings",
        "maintenance.repair_writes.DELETE_NUMBERED.deliveries": "deliveries",
        "maintenance.repair_writes.READ_LAST_EVENTS": "events",
        "maintenance.repair_writes.SET_MARKS.0": "ready",
        "maintenance.repair_writes.SET_MARKS.1": "scheduled",
        "maintenance.repair_writes.SET_MARKS.2": "blocked",
        "maintenance.repair_writes.SET_MARKS.3": "running",
        "maintenance.repair_writes.MARK_PARENTS.0": "ready",
        "maintenance.repair_writes.MARK_PARENTS.1": "scheduled",
        "maintenance.repair_writes.MARK_PARENTS.2": "blocked",
        "maintenance.repair_writes.MARK_PARENTS.3": "running",
        "maintenance.repair_writes.GRANT_KEYS": "blocked",
        "maintenance.repair_writes.WRITE_WEBHOOKS": "delivery_attempts",
        "maintenance.sealed_secrets.COUNT_BY_KEY": "batches endpoints jobs schedules",
    },
}


def findings() -> list[str]:
    """Returns the statements that lack the tenant without a reason, and reasons that no statement needs."""
    excused = {name: set(tables.split()) for group in EXCEPTIONS.values() for name, tables in group.items()}
    lacking: dict[str, set[str]] = {}
    for statement in statements():
        if tables := tables_without_tenant(statement.text):
            lacking[statement.name] = tables
    found = [
        f"{name} uses {', '.join(sorted(tables))} without naming the tenant"
        for name, used in lacking.items()
        if (tables := used - excused.get(name, set()))
    ]
    stale = [
        f"{name} needs no exception for {', '.join(sorted(tables))}"
        for name, allowed in excused.items()
        if (tables := allowed - lacking.get(name, set()))
    ]
    return found + stale


def main() -> int:
    found = findings()
    for each in found:
        print(each)  # noqa: T201  # the answer of a check
    print(  # noqa: T201
        f"{len(found)} findings; name the tenant, or add the statement with its reason to EXCEPTIONS"
        if found
        else f"{sum(1 for _ in statements())} statements name the tenant, or have a reason not to"
    )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
