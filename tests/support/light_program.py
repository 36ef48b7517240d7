"""A user's program without the server: a client, a receiver of webhooks, a handler and its test."""

import asyncio
import time

import duly
import duly.client
import duly.testing
from duly.webhooks.signature import signature_header

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = b'{"type":"job.completed"}'

handlers = duly.Handlers()


@handlers.register("double")
def double(number: int, job: duly.JobContext) -> int:
    job.progress(50, "half")
    return 2 * number


@handlers.register("fail", isolation="process")
def fail() -> None:
    raise duly.Fail("no", code="NO")


def test() -> None:
    done = asyncio.run(duly.testing.run_handler(handlers, "double", 2))
    assert (done.result, done.progress) == (4, [(50.0, "half")])
    failed = duly.testing.run_handler_sync(handlers, "fail")
    assert failed.error is not None
    assert failed.error["code"] == "NO"


def receive() -> None:
    now = int(time.time())
    signature = signature_header([SECRET], [], message_id="m", timestamp=now, body=BODY)
    headers = {"webhook-id": "m", "webhook-timestamp": str(now), "webhook-signature": signature}
    assert duly.client.verify_webhook(headers, BODY, SECRET).type == "job.completed"
    try:
        duly.client.verify_webhook(headers, BODY, "whpk_" + "A" * 43 + "=")
    except ModuleNotFoundError as error:
        told = str(error)
    assert told.endswith('run: pip install "duly[ed25519]"')


def submit() -> None:
    with duly.client.Client("http://127.0.0.1:9") as client:
        try:
            client.submit("double", 2)
        except duly.client.Unreachable:
            return
    raise AssertionError


async def submit_in_a_loop() -> None:
    async with duly.client.AsyncClient("http://127.0.0.1:9") as client:
        try:
            await client.submit("double", 2)
        except duly.client.Unreachable:
            return
    raise AssertionError


if __name__ == "__main__":
    test()
    receive()
    submit()
    asyncio.run(submit_in_a_loop())
