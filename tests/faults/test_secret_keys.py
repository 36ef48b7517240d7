"""Keys for secrets, as those who run the service meet them: refusals, a rotation over restarts, what is never said."""

import json
import re
from typing import Any

import pytest

from duly.domain.sealing import key_id_of, new_key, parse_keys
from tests.support.service import eventually
from tests.support.service_process import Command, Processes, ServiceProcess
from tests.support.webhook_receiver import Receiver

pytestmark = pytest.mark.parametrize("server", ["embedded 18"], indirect=True, scope="session")

SECRET = "the secret of a callback"
NOWHERE = "postgresql://duly:p@127.0.0.1:1/duly"


def value_of(key: str) -> str:
    return key.partition(":")[2]


async def refusal(command: Command, code: int) -> str:
    assert await command.ended() == code, command.stderr
    assert command.stdout == ""
    *logged_before, line = command.stderr.splitlines()
    assert all(each.startswith("{") for each in logged_before)
    assert line.startswith("duly: ")
    return line


async def said(command: Command) -> str:
    assert await command.ended() == 0, command.stderr
    return command.stdout


async def test_beyond_loopback_a_service_wants_the_api_key_first_and_then_the_secret_keys(
    server: object, processes: Processes
) -> None:
    beyond = ("--host", "0.0.0.0")
    at_once = {"DULY_DATABASE_WAIT_SECONDS": "0"}
    without = {"DULY_SECRET_KEYS": "", **at_once}
    assert "DULY_API_KEY" in await refusal(processes.begin(NOWHERE, *beyond, **without), 1)
    line = await refusal(processes.begin(NOWHERE, *beyond, DULY_API_KEY="k", **without), 1)
    assert "DULY_SECRET_KEYS" in line
    assert "`duly secrets new-key`" in line
    made = await said(processes.run("secrets", "new-key"))
    enough = processes.begin(NOWHERE, *beyond, DULY_API_KEY="k", DULY_SECRET_KEYS=made, **at_once)
    assert "the database cannot be reached" in await refusal(enough, 1)


async def test_new_key_prints_one_key_under_the_id_of_choice(server: object, processes: Processes) -> None:
    [(key_id, key)] = parse_keys(await said(processes.run("secrets", "new-key", "--id", "k-2026"))).items()
    assert (key_id, len(key)) == ("k-2026", 32)
    assert "--id" in await refusal(processes.run("secrets", "new-key", "--id", "a:b"), 2)


@pytest.mark.parametrize("wrong", ["{0}", "a:{0},{0}:b", "a:{0}x", "a:{0},a:{0}"])
async def test_what_spells_no_keys_is_refused_and_not_repeated(
    server: object, processes: Processes, wrong: str
) -> None:
    key = value_of(new_key())
    command = processes.begin(NOWHERE, DULY_SECRET_KEYS=wrong.format(key))
    assert "DULY_SECRET_KEYS" in await refusal(command, 2)
    assert key not in command.stderr


async def test_on_loopback_a_key_is_made_and_found_again(
    database_url: str, processes: Processes, receiver: Receiver, tmp_path: Any
) -> None:
    variables = {"DULY_SECRET_KEYS": "", "DULY_DATA_DIR": str(tmp_path / "data")}
    first = await processes.serve(database_url, "--processes", "2", **variables)
    job_id = await for_later(first, receiver)
    await first.stop()
    second = await processes.serve(database_url, **variables)
    await second.client.post(f"/api/v1/jobs/{job_id}/cancel")
    (await receiver.next()).verify(SECRET)
    [[key_id]] = await second.sql("select key_id from secret_keys")
    assert list(parse_keys((tmp_path / "data" / "secret-keys").read_text())) == [key_id]


async def test_another_key_under_a_known_id_is_refused(database_url: str, processes: Processes) -> None:
    mine, others = new_key("k1"), new_key("k1")
    await (await processes.serve(database_url, DULY_SECRET_KEYS=mine)).stop()
    for keys in (others, f"{new_key('k2')},{others}"):
        command = processes.begin(database_url, DULY_SECRET_KEYS=keys)
        line = await refusal(command, 1)
        assert 'the secret key with the id "k1" is not the one that the database was written with' in line
        assert value_of(others) not in command.stderr
    await (await processes.serve(database_url, DULY_SECRET_KEYS=mine)).stop()


async def for_later(service: ServiceProcess, receiver: Receiver) -> str:
    """Submits a job that ends, with a webhook, when it is cancelled."""
    accepted = await service.submit("quick", callbackUrl=receiver.url, callbackSecret=SECRET, delaySeconds=86_400)
    job_id: str = accepted["jobId"]
    return job_id


async def run_schedule(service: ServiceProcess, receiver: Receiver) -> None:
    answer = await service.client.post("/api/v1/schedules/s/run")
    assert answer.status_code == 202, answer.text
    (await receiver.next()).verify(SECRET)


async def test_keys_are_rotated_over_restarts_and_every_webhook_is_signed(
    database_url: str, processes: Processes, receiver: Receiver
) -> None:
    old, new = new_key("old"), new_key("new")
    often = {"DULY_WEBHOOK_RETRY_SECONDS": ",".join(["0.2"] * 200)}
    service = await processes.serve(database_url, DULY_SECRET_KEYS=old)
    submission = {"type": "quick", "callbackUrl": receiver.url, "callbackSecret": SECRET}
    schedule = {"name": "s", "cron": "0 0 1 1 *", "submission": submission}
    assert (await service.client.post("/api/v1/schedules", json=schedule)).status_code == 201
    jobs = [await for_later(service, receiver) for _ in range(2)]
    await service.stop()

    both = {"DULY_SECRET_KEYS": f"{new},{old}"}
    too_soon = processes.run("secrets", "reseal", DULY_DATABASE_URL=database_url, **both)
    assert "no service has started yet" in await refusal(too_soon, 1)
    service = await processes.serve(database_url, **both)
    await service.client.post(f"/api/v1/jobs/{jobs[0]}/cancel")
    (await receiver.next()).verify(SECRET)
    await run_schedule(service, receiver)
    resealed = await said(processes.run("secrets", "reseal", DULY_DATABASE_URL=database_url, **both))
    assert resealed.splitlines() == ['encrypted with "new": 1', 'remaining under "old": 3 in jobs']
    await service.stop()

    hits = receiver.hits
    service = await processes.serve(database_url, DULY_SECRET_KEYS=new, **often)
    [warning] = [line for line in logged(service) if line["action"] == "secret_keys_lacking"]
    assert warning["keys"] == ["old"]
    await run_schedule(service, receiver)
    await service.client.post(f"/api/v1/jobs/{jobs[1]}/cancel")
    lacking = 'NOT_SENT: a secret is sealed with the key "old", which is not in DULY_SECRET_KEYS'
    [failed, *_] = await eventually(lambda: failures(service))
    assert failed["message"].endswith(lacking)
    assert receiver.hits == hits + 1
    recorded = "select error from delivery_attempts where error is not null"
    [error, *_] = await eventually(lambda: service.sql(recorded))
    assert error[0].endswith(lacking)
    await service.stop()
    assert not [line for line in logged(service) if line["action"] == "delivery_broken"]

    service = await processes.serve(database_url, **both, **often)
    (await receiver.next()).verify(SECRET)
    await service.stop()
    for command in processes.commands:
        for hidden in (SECRET, value_of(old), value_of(new)):
            assert hidden not in command.stdout + command.stderr


async def test_a_key_that_nothing_is_sealed_with_is_forgotten(
    database_url: str, processes: Processes, receiver: Receiver
) -> None:
    old, new = new_key("old"), new_key("new")
    service = await processes.serve(database_url, DULY_SECRET_KEYS=old)
    schedule = {"type": "quick", "callbackUrl": receiver.url, "callbackSecret": SECRET}
    await service.client.post("/api/v1/schedules", json={"name": "s", "cron": "0 0 1 1 *", "submission": schedule})
    await service.stop()
    both = {"DULY_SECRET_KEYS": f"{new},{old}"}
    await (await processes.serve(database_url, **both)).stop()
    resealed = await said(processes.run("secrets", "reseal", DULY_DATABASE_URL=database_url, **both))
    assert 'no secret is encrypted with "old"' in resealed
    service = await processes.serve(database_url, DULY_SECRET_KEYS=new)
    assert not [line for line in logged(service) if line["action"] == "secret_keys_lacking"]
    await run_schedule(service, receiver)
    [[stored]] = await service.sql("select callback_secret from jobs")
    assert key_id_of(stored) == "new"


async def test_reseal_says_what_it_cannot_open(database_url: str, processes: Processes, receiver: Receiver) -> None:
    service = await processes.serve(database_url, DULY_SECRET_KEYS=new_key("lost"))
    schedule = {"type": "quick", "callbackUrl": receiver.url, "callbackSecret": SECRET}
    await service.client.post("/api/v1/schedules", json={"name": "s", "cron": "0 0 1 1 *", "submission": schedule})
    await service.stop()
    new = {"DULY_SECRET_KEYS": new_key("new")}
    await (await processes.serve(database_url, **new)).stop()
    command = processes.run("secrets", "reseal", DULY_DATABASE_URL=database_url, **new)
    assert await command.ended() == 1
    assert "not decrypted, because DULY_SECRET_KEYS lacks their key: 1" in command.stdout
    assert 'remaining under "lost": 1 in schedules' in command.stdout


def logged(service: ServiceProcess) -> list[dict[str, Any]]:
    return [json.loads(line) for line in service.command.stderr.splitlines() if re.match(r"\{", line)]


async def failures(service: ServiceProcess) -> list[dict[str, Any]]:
    return [line for line in logged(service) if line["action"] == "delivery_failed"]
