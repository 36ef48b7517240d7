"""Registered endpoints, and outboxes filled with webhooks to them before the measurement.

The service itself fills the outbox: it runs jobs without a dispatcher.
"""

import json
from base64 import b64encode
from collections.abc import Sequence
from http.client import HTTPConnection

from benchmarks import naive_dispatcher
from benchmarks.closed_loop import LoadPlan
from benchmarks.contestants import CALLBACKS_ALLOWED, DULY_SERVICE, Running, Start, new_database, running
from benchmarks.generator_processes import generate_load
from benchmarks.processes import ContestantFailed
from benchmarks.run_context import Kind, RunContext
from benchmarks.submissions import SECRET, SINGLE_PATH, one
from duly.domain.sealing import KEY_BYTES

# An arbitrary key: each database is deleted with the run.
SECRET_KEYS = f"benchmark:{b64encode(bytes(KEY_BYTES)).decode()}"
ENVIRONMENT = CALLBACKS_ALLOWED | {"DULY_SECRET_KEYS": SECRET_KEYS}
ALL_BUT_DISPATCHER = ("api", "worker", "sweeper")
FILL_SECONDS = 120.0
# A port without a listener: the ports of a round are known only when it begins.
UNUSED_PORT = 9
RESPONSE_SECONDS = 60.0

_SET_URLS = """
update endpoints e set url = 'http://127.0.0.1:' || p.port || '/webhooks'
from (select endpoint_id, row_number() over (order by endpoint_id) as place from endpoints) n
join unnest(array[{ports}]) with ordinality as p (port, place) on p.place = n.place
where e.endpoint_id = n.endpoint_id
"""


def register(service: Running, ports: Sequence[int]) -> None:
    """Registers an endpoint on each of these ports for the end of every job."""
    connection = HTTPConnection("127.0.0.1", service.port, timeout=RESPONSE_SECONDS)
    for port in ports:
        webhook = {"url": f"http://127.0.0.1:{port}/webhooks", "events": ["job.completed"], "secret": SECRET}
        connection.request("POST", "/api/v1/webhooks", json.dumps(webhook), {"Content-Type": "application/json"})
        response = connection.getresponse()
        text = response.read().decode()
        if response.status != 201:
            raise ContestantFailed(f"POST /api/v1/webhooks responded with {response.status}: {text}")
    connection.close()


def filled(context: RunContext, kind: Kind, *, deliveries: int, ports: Sequence[int]) -> str:
    """Creates a database with this number of due webhooks, divided equally among these ports."""
    name = f"outbox of {kind}, {len(ports)}"
    if name not in context.templates:
        duly = kind is Kind.DULY
        context.templates[name] = (_fill if duly else _fill_naive)(context, deliveries=deliveries, endpoints=len(ports))
        context.server.execute(context.templates[name], "vacuum (freeze, analyze)")
    database = context.create(context.templates[name])
    if kind is Kind.DULY:
        context.server.execute(database, _SET_URLS.format(ports=_listed(ports)))
    else:
        context.server.execute(database, naive_dispatcher.FILL.format(deliveries=deliveries, ports=_listed(ports)))
    return database


def _fill(context: RunContext, *, deliveries: int, endpoints: int) -> str:
    database, jobs = new_database(DULY_SERVICE, context), deliveries // endpoints
    with running(DULY_SERVICE, context, Start(ALL_BUT_DISPATCHER, database, ENVIRONMENT)) as service:
        register(service, [UNUSED_PORT] * endpoints)
        plan = LoadPlan(service.port, SINGLE_PATH, one().decode(), seconds=FILL_SECONDS, warm_up=0, requests=jobs)
        generate_load(plan)
        wanted = jobs * endpoints
        sql = "select count(*) from deliveries"
        due = context.server.wait_for(database, sql, wanted=wanted, within_seconds=FILL_SECONDS)
    if due != wanted:
        raise ContestantFailed(f"{due} of {wanted} webhooks were due after {FILL_SECONDS:g} s")
    return database


def _fill_naive(context: RunContext, *, deliveries: int, endpoints: int) -> str:
    """Creates the table only; the rows are inserted by one statement for each round."""
    del deliveries, endpoints
    database = context.server.create()
    context.server.execute(database, naive_dispatcher.SCHEMA)
    return database


def forget_outboxes(context: RunContext) -> None:
    """Drops the databases with filled outboxes."""
    for name in [name for name in context.templates if name.startswith("outbox")]:
        context.server.drop(context.templates.pop(name))


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(str(number) for number in numbers)
