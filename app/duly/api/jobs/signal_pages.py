"""Pages of links by which people answer the question of a job: plain HTML that needs no script."""

import base64
import hashlib
from collections.abc import Mapping
from html import escape
from typing import Final

from starlette.responses import Response

from duly.domain.job import JobView
from duly.domain.signal_link import SignalLink
from duly.domain.timestamps import rfc3339
from duly.lifecycle.signals.links import Question, QuestionState

LONGEST_COMMENT: Final = 2_000
_STYLE: Final = """
:root { color-scheme: light dark; }
body { font: 1.1rem/1.5 system-ui, sans-serif; max-width: 34rem; margin: 0 auto; padding: 1.5rem 1rem; }
h1 { font-size: 1.4rem; line-height: 1.3; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1rem; font-size: .95rem; }
dt { opacity: .7; }
dd { margin: 0; overflow-wrap: anywhere; }
textarea { font: inherit; width: 100%; box-sizing: border-box; min-height: 6rem; margin: .25rem 0 1rem; }
button { font: inherit; font-weight: 600; display: block; width: 100%; min-height: 3rem; margin: .75rem 0;
         padding: .5rem 1rem; overflow-wrap: anywhere; cursor: pointer; }
"""
_DIGEST: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_DIGEST}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
# The browser names its origin to the form's own address only, so the token goes to no other site.
_HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": _POLICY,
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
    "X-Robots-Tag": "noindex",
}


def question_page(question: Question, *, status: int | None = None, hint: str | None = None) -> Response:
    """Returns the page of a question: its form while it is open, else what has become of it.

    Args:
        question: the question, as it is now.
        status: status of the response; by default 200, and 410 if there is nothing to answer any more.
        hint: sentence above the form.
    """
    link = question.link
    heading = escape(link.question or f'The job asks for the signal "{link.name}".')
    match question.state:
        case QuestionState.OPEN:
            return _page(heading, _paragraph(hint) + _facts(question.job, link) + _form(link), status or 200)
        case QuestionState.ANSWERED:
            text, default = _answered(question), 200
        case QuestionState.EXPIRED:
            text, default = "This link has expired. Nothing can be sent any more.", 410
        case QuestionState.ENDED:
            text, default = f"The job has ended already ({question.job.status}). Nothing can be sent any more.", 410
    return _page(heading, _paragraph(text) + _facts(question.job, link), status or default)


def unknown_link_page() -> Response:
    """Returns the page of a link that is not valid."""
    text = "It may be incomplete, or its job is deleted. Open the link as a whole, as it was sent to you."
    return _page("This link is not valid.", _paragraph(text), 404)


def error_page(message: str, *, status: int) -> Response:
    """Returns the page of an error of the service."""
    return _page("The answer was not recorded.", _paragraph(f"{message} Reload this page, and try again."), status)


def _answered(question: Question) -> str:
    answer = question.answer
    choice = f" The answer is “{answer.choice}”." if answer is not None and answer.choice is not None else ""
    return f"The answer was recorded at {rfc3339(answer.sent_at)}.{choice}" if answer is not None else ""


def _form(link: SignalLink) -> str:
    """Returns the form. It posts to the address of the page, which is the link."""
    comment = (
        '<label for="comment">Comment (optional)</label>'
        f'<textarea id="comment" name="comment" maxlength="{LONGEST_COMMENT}"></textarea>'
        if link.comment
        else ""
    )
    buttons = "".join(
        f'<button name="choice" value="{escape(choice)}">{escape(choice if link.choices else choice.capitalize())}'
        "</button>"
        for choice in link.answers
    )
    return f'<form method="post">{comment}{buttons}</form>'


def _facts(job: JobView, link: SignalLink) -> str:
    """Returns what the question is about."""
    facts = {"Job": job.type, "Id": str(job.job_id), "Submitted": rfc3339(job.created_at), "Signal": link.name}
    if link.recipient is not None:
        facts["For"] = link.recipient
    return f"<dl>{''.join(f'<dt>{name}</dt><dd><bdi>{escape(value)}</bdi></dd>' for name, value in facts.items())}</dl>"


def _paragraph(text: str | None) -> str:
    return f"<p>{escape(text)}</p>" if text else ""


def _page(heading: str, content: str, status: int) -> Response:
    """Returns a page. `heading` and `content` are HTML."""
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{heading}</title><style>{_STYLE}</style></head>"
        f"<body><main><h1><bdi>{heading}</bdi></h1>{content}</main></body></html>"
    )
    return Response(page, status, dict(_HEADERS), media_type="text/html; charset=utf-8")
