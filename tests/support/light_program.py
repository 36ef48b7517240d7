"""A user's program without the server: a client, a receiver of webhooks, a handler and its test."""

import asyncio
import time

import duly
import duly.client
import duly.testing
from duly.domain.webhook_key_pair import make_key_pair
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
    pair = make_key_pair()
    now = int(time.time())
    signature = signature_header([SECRET], [pair.private], message_id="m", timestamp=now, body=BODY)
    headers = {"webhook-id": "m", "webhook-timestamp": str(now), "webhook-signature": signature}
    for key in (SECRET, pair.public):
        assert duly.client.verify_webhook(headers, BODY, key).type == "job.completed"


def submit() -> None:
    with duly.client.Client("http://127.0.0.1:9") as client:
        try:
            client.submit("double", 2)
        except duly.client.Unreachable:
            return
    raise AssertionError


if __name__ == "__main__":
    test()
    receive()
    submit()
