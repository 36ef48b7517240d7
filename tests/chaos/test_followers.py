"""Readers of a chaos run go on where their stream ended, and subscribe again where a subscription was refused."""

import asyncio
import json

from websockets.asyncio.server import ServerConnection, serve

from tests.chaos.followers import follow_by_socket

BOUND_SECONDS = 60.0


async def test_a_socket_whose_subscription_was_refused_is_opened_again() -> None:
    asked: list[str | None] = []
    done = asyncio.Event()

    async def node(socket: ServerConnection) -> None:
        subscription = json.loads(await socket.recv())
        asked.append(subscription.get("after"))
        match len(asked):
            case 1:
                answers = [{"type": "subscribed", "ref": subscription["ref"], "after": "7-0"}]
            case 2:
                answers = [{"type": "error", "ref": subscription["ref"], "error": {"code": "DATABASE_UNAVAILABLE"}}]
            case _:
                answers = [{"type": "job_started", "jobId": "a", "sequence": 1, "id": "8-0"}]
        for answer in answers:
            await socket.send(json.dumps(answer))
        if len(asked) == 2:
            await socket.wait_closed()
        elif len(asked) > 2:
            done.set()

    async with serve(node, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        following = asyncio.create_task(follow_by_socket([url], "reader", [], asyncio.Event()))
        await asyncio.wait_for(done.wait(), BOUND_SECONDS)
        following.cancel()
        await asyncio.wait([following])
    assert asked[:3] == [None, "7-0", "7-0"]
