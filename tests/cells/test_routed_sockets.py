"""One WebSocket serves the jobs of all cells."""

from typing import Any

from tests.support.cells import CellService, key_in
from tests.support.service import eventually
from tests.support.websocket_client import Socket, socket_to


async def until(socket: Socket, type_: str) -> dict[str, Any]:
    """Returns the next message of a type."""
    while (received := await socket.receive())["type"] != type_:
        pass
    return received


async def test_jobs_submitted_on_one_socket_live_in_all_cells_and_are_followed_to_their_end(
    shared_cells: CellService,
) -> None:
    async with socket_to(shared_cells) as socket:
        for number, ref in enumerate("abcdefgh"):
            job = {"type": "echo", "parameters": {"ref": ref}, "uniqueKey": key_in(number % 4, beside=ref)}
            await socket.send("submit_job", ref=ref, job=job)
        received: list[dict[str, Any]] = []
        while sum(message["type"] == "job_completed" for message in received) < 8:
            received.append(await socket.receive())
        accepted = {message["ref"]: message["jobId"] for message in received if message["type"] == "job_accepted"}
        assert set(accepted) == set("abcdefgh")
        assert {shared_cells.cell_of(job_id) for job_id in accepted.values()} == {0, 1, 2, 3}
        for job_id in accepted.values():
            types = [message["type"] for message in received if message.get("jobId") == job_id]
            assert types == ["job_accepted", "job_submitted", "job_started", "job_completed"]
            ids = [message["id"] for message in received if message.get("jobId") == job_id and "id" in message]
            assert ids == [0, 1, 2]
        await socket.is_open()


async def test_a_subscription_a_signal_and_a_cancel_reach_the_cell_of_the_job(shared_cells: CellService) -> None:
    async with socket_to(shared_cells) as socket:
        for cell in range(4):
            job_id = str(shared_cells.nodes[cell].clock.ids.new())
            body = {"type": "echo", "parameters": {}, "delaySeconds": 600}
            assert (await shared_cells.client.put(f"/api/v1/jobs/{job_id}", json=body)).status_code == 202
            subscribed = await socket.request("subscribe", ref="s", jobId=job_id)
            assert subscribed == {"type": "subscribed", "ref": "s", "jobId": job_id}
            assert (await until(socket, "job_submitted"))["jobId"] == job_id
            await socket.send("send_signal", ref="n", jobId=job_id, name="go", body={"n": cell})
            assert (await until(socket, "signal_accepted"))["jobId"] == job_id
            await socket.send("cancel_job", ref="c", jobId=job_id)
            seen: dict[str, str] = {}
            while not {"cancel_accepted", "job_cancelled"} <= seen.keys():
                received = await socket.receive()
                seen[received["type"]] = received["jobId"]
            assert set(seen.values()) == {job_id}
        await socket.is_open()


async def test_bad_messages_are_refused_and_do_not_close_the_socket(shared_cells: CellService) -> None:
    async with socket_to(shared_cells) as socket:
        await socket.refused("{", "INVALID_JSON")
        await socket.refused('{"type":"cancel_job","ref":"x","jobId":"no id"}', "NOT_FOUND")
        parents = [str(shared_cells.nodes[cell].clock.ids.new()) for cell in (0, 1)]
        job = {"type": "echo", "parameters": {}, "dependsOn": parents}
        refused = await socket.request("submit_job", ref="two", job=job)
        assert (refused["type"], refused["ref"]) == ("error", "two")
        (error,) = refused["error"]["details"]["errors"]
        assert error["path"] == "job.dependsOn[1]"
        await socket.is_open()


async def test_a_closed_socket_ends_the_conversations_of_all_cells_and_had_one_place(shared_cells: CellService) -> None:
    def conversations() -> list[int]:
        return [len(node.key_verifier._holds) for node in shared_cells.nodes]

    async def ended() -> bool:
        return not any(conversations())

    await eventually(ended)  # those of other tests
    async with socket_to(shared_cells) as socket:
        for cell in range(4):
            job = {"type": "echo", "parameters": {}, "uniqueKey": key_in(cell, beside="closed")}
            await socket.request("submit_job", ref="r", job=job)
        await socket.send("ping", ref="p")
        await until(socket, "pong")
        assert conversations() == [1, 1, 1, 1]
        assert {node.stream_capacity.taken for node in shared_cells.nodes} == {1}
    await eventually(ended)
    assert {node.stream_capacity.taken for node in shared_cells.nodes} == {0}
