"""Registered endpoints, and outboxes that are full of webhooks to them before anything is measured.

The webhooks are the service's own: it runs jobs while nobody dispatches.
"""

import json
from base64 import b64encode
from collections.abc import Sequence
from http.client import HTTPConnection

from benchmarks import naive_dispatcher
from benchmarks.contestants import CALLBACKS_ALLOWED, DULY_ITSELF, Running, Start, new_database, running
from benchmarks.generators import generate_load
from benchmarks.ground import Ground, Kind
from benchmarks.load import LoadPlan
from benchmarks.processes import ContestantFailed
from benchmarks.submissions import SECRET, SINGLE_PATH, one
from duly.domain.sealing import KEY_BYTES

# A key that means nothing: each database is deleted with the run.
SECRET_KEYS = f"benchmark:{b64encode(bytes(KEY_BYTES)).decode()}"
ENVIRONMENT = CALLBACKS_ALLOWED | {"DULY_SECRET_KEYS": SECRET_KEYS}
ALL_BUT_DISPATCHER = ("api", "worker", "sweeper")
FILL_SECONDS = 120.0
# Where nothing listens: the ports of a round are known only when it begins.
NOWHERE = 9
ANSWER_SECONDS = 15.0

_POINT = """
update endpoints e set url = 'http://127.0.0.1:' || p.port || '/webhooks'
from (select endpoint_id, row_number() over (order by endpoint_id) as place from endpoints) n
join unnest(array[{ports}]) with ordinality as p (port, place) on p.place = n.place
where e.endpoint_id = n.endpoint_id
"""


def register(service: Running, ports: Sequence[int]) -> None:
    """An endpoint on each of these ports that wants to hear of every job's end."""
    connection = HTTPConnection("127.0.0.1", service.port, timeout=ANSWER_SECONDS)
    for port in ports:
        webhook = {"url": f"http://127.0.0.1:{port}/webhooks", "events": ["job.completed"], "secret": SECRET}
        connection.request("POST", "/api/v1/webhooks", json.dumps(webhook), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        said = answer.read().decode()
        if answer.status != 201:
            raise ContestantFailed(f"POST /api/v1/webhooks answered {answer.status}: {said}")
    connection.close()


def filled(ground: Ground, kind: Kind, *, deliveries: int, ports: Sequence[int]) -> str:
    """A new database with so many webhooks that are due, as many to each of these ports."""
    name = f"outbox of {kind}, {len(ports)}"
    if name not in ground.templates:
        duly = kind is Kind.DULY
        ground.templates[name] = (_fill if duly else _fill_naive)(ground, deliveries=deliveries, endpoints=len(ports))
        ground.server.execute(ground.templates[name], "vacuum (freeze, analyze)")
    database = ground.create(ground.templates[name])
    if kind is Kind.DULY:
        ground.server.execute(database, _POINT.format(ports=_listed(ports)))
    else:
        ground.server.execute(database, naive_dispatcher.FILL.format(deliveries=deliveries, ports=_listed(ports)))
    return database


def _fill(ground: Ground, *, deliveries: int, endpoints: int) -> str:
    database, jobs = new_database(DULY_ITSELF, ground), deliveries // endpoints
    with running(DULY_ITSELF, ground, Start(ALL_BUT_DISPATCHER, database, ENVIRONMENT)) as service:
        register(service, [NOWHERE] * endpoints)
        plan = LoadPlan(service.port, SINGLE_PATH, one().decode(), seconds=FILL_SECONDS, warm_up=0, requests=jobs)
        generate_load(plan)
        wanted = jobs * endpoints
        sql = "select count(*) from deliveries"
        due = ground.server.wait_for(database, sql, wanted=wanted, within_seconds=FILL_SECONDS)
    if due != wanted:
        raise ContestantFailed(f"{due} of {wanted} webhooks were due after {FILL_SECONDS:g} s")
    return database


def _fill_naive(ground: Ground, *, deliveries: int, endpoints: int) -> str:
    """Its table alone: how many rows, and to whom, is a matter of a statement."""
    del deliveries, endpoints
    database = ground.server.create()
    ground.server.execute(database, naive_dispatcher.SCHEMA)
    return database


def forget_outboxes(ground: Ground) -> None:
    """Gives the room of full outboxes back."""
    for name in [name for name in ground.templates if name.startswith("outbox")]:
        ground.server.drop(ground.templates.pop(name))


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(str(number) for number in numbers)
