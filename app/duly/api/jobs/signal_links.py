"""`/signals/{token}`: links by which people answer the question of a job, without an API key.

GET changes nothing, since mail scanners open links; POST, by the form of the page, sends the answer as a signal.
"""

import re
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Final
from urllib.parse import parse_qs

from fastapi import APIRouter, Request, Response

from duly.api.contract.error_responses import as_duly_error
from duly.api.jobs.signal_pages import LONGEST_COMMENT, error_page, question_page, unknown_link_page
from duly.api.server.scope_values import body_of, headers_of, node_of
from duly.domain.audit import Actor
from duly.domain.signal_link import SignalLink
from duly.errors import DulyError, JobAlreadyEnded, NotFound, SignalAlreadySent
from duly.lifecycle.signals.links import PATH, Question, QuestionState
from duly.store.postgres.database import DatabaseError

MOST_FIELDS: Final = 4
LONGEST_FORM: Final = 32 << 10
# A comment is kept as text of JSON, which has no other control characters than these.
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_Route = Callable[[Request, str], Awaitable[Response]]
router = APIRouter(prefix=PATH, include_in_schema=False)


def _with_error_pages(route: _Route) -> _Route:
    """Returns the route, with a page for an error of the service."""

    @wraps(route)
    async def answer(request: Request, token: str) -> Response:
        try:
            return await route(request, token)
        except (DulyError, DatabaseError) as error:
            failure = as_duly_error(error, request_id=request.scope["duly.request_id"])
            request.scope["duly.exchange"].code = failure.code
            return error_page(failure.message, status=failure.status)

    return answer


@router.get("/{token}")
@_with_error_pages
async def show_question(request: Request, token: str) -> Response:
    """Shows the question of a link, and changes nothing."""
    question = await node_of(request).signal_links.read(token)
    return unknown_link_page() if question is None else question_page(question)


@router.post("/{token}")
@_with_error_pages
async def answer_question(request: Request, token: str) -> Response:
    """Sends the chosen answer. The same answer again, as by a double click, gets the same page."""
    question = await node_of(request).signal_links.read(token)
    if question is None:
        return unknown_link_page()
    fields = _fields(request)
    choice = fields.get("choice", "")
    if choice not in question.link.answers:
        return question_page(question, status=422, hint="Choose one of the answers.")
    if question.state is QuestionState.OPEN:
        await _send(request, question.link, choice, comment=fields.get("comment", ""))
        question = await node_of(request).signal_links.read(token)
    return unknown_link_page() if question is None else question_page(question, status=_status(question, choice))


def _status(question: Question, choice: str) -> int | None:
    """Returns 409 if another answer was recorded than the one that was sent."""
    answer = question.answer
    return 409 if answer is not None and answer.choice != choice else None


async def _send(request: Request, link: SignalLink, choice: str, *, comment: str) -> None:
    """Sends an answer, unless the question was answered or its job ended at this moment."""
    body = {"choice": choice}
    if link.comment and (text := _CONTROL.sub("", comment).strip()[:LONGEST_COMMENT]):
        body["comment"] = text
    by = Actor(f"link:{link.recipient}" if link.recipient else "link", request.scope["duly.request_id"])
    try:
        await node_of(request).signals.send(link.tenant_id, link.job_id, link.name, body, by=by, source="link")
    except (SignalAlreadySent, JobAlreadyEnded, NotFound):
        return  # the page shows it


def _fields(request: Request) -> dict[str, str]:
    """Returns the first value of each field of a form; none of any other body."""
    declared = headers_of(request).get(b"content-type", b"").partition(b";")[0].strip().lower()
    if declared != b"application/x-www-form-urlencoded" or len(body_of(request)) > LONGEST_FORM:
        return {}
    try:
        found = parse_qs(body_of(request).decode(), max_num_fields=MOST_FIELDS, errors="strict")
    except ValueError:
        return {}
    return {name: values[0] for name, values in found.items()}
