"""Any JSON value from its submission to the webhook: it comes out the same, or is refused by the path of its fault."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.support.fuzzing import fuzzed
from tests.support.job_stream import read_stream
from tests.support.json_values import ANY_TEXT, FIT_TEXT, holds_unfit_text, json_values
from tests.support.response_checks import JSON
from tests.support.service import Service
from tests.support.webhook_receiver import Receiver


def same(one: object, other: object) -> bool:
    """Returns whether two values are equal and of equal types: 1 is not 1.0, and 0.0 is not -0.0."""
    return repr(one) == repr(other)


async def submitted(service: Service, value: object, *, ascii_only: bool, **members: Any) -> Any:
    text = json.dumps({"type": "echo", "parameters": {"value": value}, **members}, ensure_ascii=ascii_only)
    return await service.client.post("/api/v1/jobs", content=text.encode(), headers=JSON)


@fuzzed(60)
@given(value=json_values(FIT_TEXT), ascii_only=st.booleans())
async def test_a_value_is_read_streamed_and_sent_as_it_was_submitted(
    attacked: Service, receiver: Receiver, value: object, *, ascii_only: bool
) -> None:
    answer = await submitted(attacked, value, ascii_only=ascii_only, callbackUrl=receiver.url)
    assert answer.status_code == 202, answer.text
    view = await attacked.ended(answer.json()["jobId"])
    told = (await read_stream(attacked, view["jobId"]))[-1]
    received = await receiver.next()
    events = await attacked.events(view["jobId"])
    for shown in (
        *(view["parameters"], view["result"], told["result"], json.loads(received.body)["result"]),
        *(events[0]["data"]["parameters"], events[-1]["data"]["result"]),
    ):
        assert same(shown, {"value": value})


@fuzzed(150)
@given(json_values(ANY_TEXT))
async def test_a_value_that_cannot_be_stored_is_refused_by_its_path(attacked: Service, value: object) -> None:
    answer = await submitted(attacked, value, ascii_only=True)
    if not holds_unfit_text(value):
        assert answer.status_code == 202, answer.text
        return
    assert answer.status_code == 422, answer.text
    errors = answer.json()["error"]["details"]["errors"]
    assert errors
    assert all(error["path"].startswith("parameters.value") for error in errors)


@fuzzed(150)
@given(st.binary(max_size=200) | st.text('{}[]",:\\u0d8eE+-.19Nan type"echo', max_size=80).map(str.encode))
async def test_any_body_is_a_submission_or_an_error_of_the_client(attacked: Service, body: bytes) -> None:
    answer = await attacked.client.post("/api/v1/jobs", content=body, headers=JSON)
    assert answer.status_code in {202, 400, 422}, answer.text
