"""Operations on API keys and stream tickets."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import cast

from duly.client.answers import DisclosedKey, Key, KeyScope, RateLimit, Ticket
from duly.client.operation import Operations, PerformerT, iteration, operation
from duly.client.paging import items_of
from duly.client.request import delete, known, path_of, post
from duly.client.sending import call
from duly.client.steps import Items, Steps


class KeyOperations(Operations[PerformerT]):
    """Creates, lists, rotates and revokes API keys."""

    @operation
    def create(  # members of the request
        self,
        name: str,
        scopes: Sequence[KeyScope],
        *,
        types: Sequence[str] | None = None,
        queues: Sequence[str] | None = None,
        expires_at: datetime | str | None = None,
        rate: RateLimit | None = None,
    ) -> Steps[DisclosedKey]:
        """Creates an API key. Returns it with its `key`, which no other call returns.

        Args:
            name: purpose or owner of the key.
            scopes: what the key may do.
            types: job types that a worker with this key may run; None does not restrict it.
            queues: queues from which a worker with this key may claim; None does not restrict it.
            expires_at: time from which the key is not valid.
            rate: number of requests (`count`) in a period (`seconds`).
        """
        optional = known({"types": types, "queues": queues, "expiresAt": expires_at, "rate": rate})
        return cast(
            "DisclosedKey", (yield from call(post(path_of("keys"), {"name": name, "scopes": scopes} | optional)))
        )

    @iteration
    def list(self) -> Items[Key]:
        """Yields the API keys, newest first, page by page."""
        return items_of(path_of("keys"))

    @operation
    def rotate(self, key_id: str, *, overlap_seconds: int | None = None) -> Steps[DisclosedKey]:
        """Creates a key in place of this one, which stays valid for `overlap_seconds` (default: one day)."""
        request = post(path_of("keys", key_id, "rotate"), known({"overlapSeconds": overlap_seconds}))
        return cast("DisclosedKey", (yield from call(request)))

    @operation
    def revoke(self, key_id: str) -> Steps[None]:
        """Revokes the API key within five seconds."""
        yield from call(delete(path_of("keys", key_id)))


class TicketOperations(Operations[PerformerT]):
    """Creates tickets, with which a browser opens a stream or a socket once."""

    @operation
    def create(
        self,
        *,
        job_id: str | None = None,
        batch_id: str | None = None,
        labels: Mapping[str, str] | None = None,
        submit: bool = False,
    ) -> Steps[Ticket]:
        """Creates a ticket for a job, a batch or the jobs with these labels; without any of them, for all jobs.

        `submit` allows submitting over the socket as well. Returns `ticket` and `expiresAt`, 60 seconds later.
        """
        target = known({"jobId": job_id, "batchId": batch_id, "labels": labels})
        body = {**(target or {"all": True}), "submit": submit}
        return cast("Ticket", (yield from call(post(path_of("stream-tickets"), body))))
