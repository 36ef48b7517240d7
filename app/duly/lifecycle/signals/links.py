"""Links by which people answer the question of a job: their URLs, and the state of the question."""

from collections.abc import Sequence
from datetime import UTC, datetime
from enum import Enum, auto
from typing import NamedTuple
from uuid import UUID

from duly.domain.database_clock import DatabaseClock
from duly.domain.job import JobView
from duly.domain.sealing import Keyring
from duly.domain.signal_link import InvalidLink, SignalLink, read_link_token, write_link_token
from duly.settings import Settings
from duly.store.postgres.database import Database
from duly.store.queue.signals import Answer, has_timed_out, read_answer
from duly.store.read.job_view import view_job

PATH = "/signals"


class QuestionState(Enum):
    """State of a question."""

    OPEN = auto()
    ANSWERED = auto()
    EXPIRED = auto()
    ENDED = auto()  # the job ended without an answer


class Question(NamedTuple):
    """Question of a job, as it is now."""

    link: SignalLink
    job: JobView
    state: QuestionState
    answer: Answer | None


class SignalLinks:
    """Makes and reads links."""

    def __init__(self, settings: Settings, database: Database, keyring: Keyring, clock: DatabaseClock) -> None:
        self._base = base_url(settings)
        self._database = database
        self._keyring = keyring
        self._clock = clock

    def url(  # noqa: PLR0913  # the parts of a question
        self,
        tenant_id: int,
        job_id: UUID,
        name: str,
        *,
        expires_at: datetime,
        choices: Sequence[str] = (),
        question: str | None = None,
        comment: bool = False,
        recipient: str | None = None,
    ) -> str:
        """Returns the URL by which a person sends the signal of this name.

        Raises:
            InvalidLink: a value is not allowed, or the address of the service is not known.
        """
        if self._base is None:
            raise InvalidLink("links need the address of the service: set DULY_PUBLIC_URL")
        ends = int(expires_at.timestamp())
        link = SignalLink(tenant_id, job_id, name, ends, list(choices), question, comment, recipient)
        return f"{self._base}{PATH}/{write_link_token(link, self._keyring)}"

    async def read(self, token: str) -> Question | None:
        """Returns the question of a link; None if the link is invalid, or its job is deleted."""
        link = read_link_token(token, self._keyring)
        if link is None:
            return None
        async with self._database.connection() as connection:
            job = await view_job(connection, link.tenant_id, link.job_id)
            if job is None:
                return None
            answer = await read_answer(connection, link.tenant_id, link.job_id, link.name)
            timed_out = await has_timed_out(connection, link.tenant_id, link.job_id, link.name)
        return Question(link, job, self._state(link, job, answer, timed_out=timed_out), answer)

    def _state(self, link: SignalLink, job: JobView, answer: Answer | None, *, timed_out: bool) -> QuestionState:
        if answer is not None:
            return QuestionState.ANSWERED
        if job.ended:
            return QuestionState.ENDED
        if timed_out or datetime.fromtimestamp(link.expires_at, UTC) <= self._clock.now():
            return QuestionState.EXPIRED
        return QuestionState.OPEN


def base_url(settings: Settings) -> str | None:
    """Returns the URL under which people reach the service, without a slash at its end. Without the setting, it is
    known only if the service is reached directly, on loopback.
    """
    if settings.public_url is not None:
        return settings.public_url
    if settings.host in {"127.0.0.1", "::1", "localhost"} and settings.port and not settings.trusted_proxies:
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        return f"http://{host}:{settings.port}{settings.root_path}"
    return None
