"""The rows of webhooks: a tiny run of each, whose figures mean nothing; their receiver and their clients are honest."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.end_to_end import Receiver, is_signed
from benchmarks.http_messages import Message
from benchmarks.post_clients import CLIENTS, PostPlan, by_hand, run, signed
from benchmarks.postgres_server import Server
from benchmarks.receiver_process import ReceiverProcess, run_receiver
from benchmarks.run_context import SMALL, RunContext
from benchmarks.targets import Bound, Verdict, judge
from benchmarks.webhook_receiver import Misbehavior, ReceiverPlan
from duly.outbound import OutboundClient, OutboundError
from tests.support.benchmark_run import finished, small_run
from tests.support.raw_receiver import LOOPBACK

# Side by side. The other clients are installed when they are first wanted, which a test does not want.
PLANS = {"duly,naive,ceiling": ("S5a", "S5b"), "duly,naive": ("S7", "BH")}
# Nine services start and stop in turn; with black holes that takes seconds, since posts under way get a last chance.
RUN_SECONDS = 600
INSTALLED = tuple(name for name in CLIENTS if "aiohttp" not in name)

pytestmark = pytest.mark.timeout(RUN_SECONDS + 20)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folders = {kinds: tmp_path_factory.mktemp("results") for kinds in PLANS}
    with ExitStack() as stack:
        runs = {kinds: stack.enter_context(small_run(folders[kinds], PLANS[kinds], kinds)) for kinds in PLANS}
        told: dict[str, Any] = {}
        for kinds, one in runs.items():
            told |= finished(one, folders[kinds], within_seconds=RUN_SECONDS)[1]
        return told


@pytest.mark.parametrize(
    ("row", "contestants"),
    [
        ("S5a", ["Duly", "httpx, default transport", "bare asyncio protocol"]),
        ("S5b", ["Duly", "naive"]),
        ("S7", ["Duly", "naive"]),
        ("BH", ["Duly", "one endpoint alone", "one endpoint beside black holes"]),
    ],
)
def test_a_row_of_webhooks_is_measured_without_an_error(
    row: str, contestants: list[str], results: dict[str, Any]
) -> None:
    shown = {result["contestant"]["name"]: result for result in results[row]}

    assert set(contestants) <= set(shown)
    for result in shown.values():
        assert result["failure"] is None
        figures = result["rounds"][0]["figures"]
        assert figures.pop("errors", 0) == 0
        assert all(value > 0 for name, value in figures.items() if name != "swallowed")


def test_black_holes_are_posted_to_and_the_healthy_receiver_is_told_of_every_job(results: dict[str, Any]) -> None:
    shown = {result["contestant"]["name"]: result["rounds"][0]["figures"] for result in results["BH"]}

    assert shown["one endpoint alone"]["swallowed"] == 0
    assert shown["one endpoint beside black holes"]["swallowed"] > 0
    assert shown["one callback's host beside black holes"]["swallowed"] > 0
    assert shown["one endpoint beside hostile ones"]["swallowed"] > 0
    assert shown["one callback's host beside hostile ones"]["swallowed"] > 0
    assert shown["Duly"]["endpoint_received_ratio"] == shown["Duly"]["callback_received_ratio"] == 1


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[ReceiverProcess]:
    with run_receiver(
        RunContext(Server(0, str), tmp_path, SMALL), ReceiverPlan(ports=2, misbehaviors=tuple(Misbehavior))
    ) as process:
        yield process


def webhook(number: int) -> bytes:
    return json.dumps({"jobId": f"00000000-0000-7000-8000-{number:012d}"}).encode()


async def post(port: int, bodies: list[bytes], headers: dict[str, str] | None = None) -> None:
    async with by_hand(PostPlan(port, concurrent=1)) as client:
        for number, body in enumerate(bodies):
            sent = signed(number, body) | (headers or {})
            assert await client(f"http://127.0.0.1:{port}/webhooks", body, sent) == 204


async def test_the_receiver_tells_what_came_and_what_came_again(receiver: ReceiverProcess) -> None:
    first, second = receiver.ports
    await post(first, [webhook(1), webhook(2), webhook(1)])
    await post(second, [webhook(1)])

    assert receiver.wait_for(3, within_seconds=60)
    webhooks = receiver.ended()
    assert (webhooks.received, webhooks.repeated, webhooks.unread, webhooks.bad_signatures) == (3, 1, 0, 0)
    assert len(webhooks.arrivals) == 2
    assert webhooks.wrong == 1


async def test_the_receiver_tells_what_was_forged_and_what_it_cannot_read(receiver: ReceiverProcess) -> None:
    forged = {"x-webhook-signature": f"sha256={'0' * 64}"}
    await post(receiver.ports[0], [webhook(number) for number in range(20)], forged)
    await post(receiver.ports[0], [b'{"type":"job.completed"}'])

    webhooks = receiver.ended()

    assert (webhooks.received, webhooks.unread, webhooks.bad_signatures) == (20, 1, 1)


@pytest.mark.parametrize(
    ("misbehavior", "outcome"),
    [
        (Misbehavior.SLOW_BODY, "no complete response"),
        (Misbehavior.ENDLESS_BODY, (200, True)),
        (Misbehavior.HEADER_FLOOD, "too many headers"),
    ],
)
async def test_a_hostile_receiver_answers_without_an_end(
    receiver: ReceiverProcess, misbehavior: Misbehavior, outcome: str | tuple[int, bool]
) -> None:
    url = f"http://127.0.0.1:{receiver.hostile[list(Misbehavior).index(misbehavior)]}/"
    async with OutboundClient(egress=LOOPBACK, total_seconds=1) as client:
        if isinstance(outcome, tuple):
            answer = await client.post(url, content=b"{}", headers={})
            assert (answer.status, answer.truncated) == outcome
        else:
            with pytest.raises(OutboundError, match=outcome):
                await client.post(url, content=b"{}", headers={})


async def test_a_black_hole_takes_a_post_and_says_nothing(receiver: ReceiverProcess) -> None:
    async with by_hand(PostPlan(receiver.hostile[0], concurrent=1)) as client:
        unanswered = asyncio.ensure_future(client(f"http://127.0.0.1:{receiver.hostile[0]}/", b"{}", {}))
        # The other port was posted to later and has answered.
        await post(receiver.ports[0], [webhook(1)])
        assert not unanswered.done()
        unanswered.cancel()

    webhooks = await asyncio.to_thread(receiver.ended)
    assert (webhooks.received, webhooks.swallowed) == (1, 1)


def test_what_was_waited_for_in_vain_is_told_of_in_the_end(receiver: ReceiverProcess) -> None:
    assert not receiver.wait_for(1, within_seconds=0)

    assert receiver.ended().received == 0


@pytest.mark.parametrize("client", INSTALLED)
async def test_every_client_posts_the_same_signed_body(client: str) -> None:
    messages: list[Message] = []

    class Kept:
        def on_webhook(self, message: Message) -> None:
            messages.append(message)

    server = await asyncio.get_running_loop().create_server(lambda: Receiver(Kept()), "127.0.0.1", 0)
    plan = PostPlan(server.sockets[0].getsockname()[1], concurrent=2, seconds=0.1, warm_up=0)
    outcome = await run(client, plan)
    server.close()

    assert outcome.wrong == 0
    assert outcome.rate > 0
    assert {len(message.body) for message in messages} == {plan.body_bytes}
    assert all(is_signed(message) for message in messages)
    assert all(b"\r\nwebhook-signature: v1," in message.head.lower() for message in messages)


async def test_a_post_that_is_not_answered_with_204_is_counted_as_wrong_and_not_as_a_rate() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 503 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    plan = PostPlan(server.sockets[0].getsockname()[1], concurrent=1, seconds=0.1, warm_up=0)
    outcome = await run("duly", plan)
    server.close()
    await server.wait_closed()

    assert outcome.wrong > 0
    assert outcome.rate == 0


def test_a_bound_may_be_relative_to_another_figure() -> None:
    bound = Bound("rate_to_many", 8, "httpx", of="rate")
    figures = {"Duly": {"rate": 1.0, "rate_to_many": 800.0}, "httpx": {"rate": 100.0}}

    assert judge((bound,), figures) is Verdict.REACHED
    assert judge((replace(bound, of=None),), figures) is Verdict.UNKNOWN
