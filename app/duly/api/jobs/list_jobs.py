"""`GET /api/v1/jobs`: lists of jobs, and the filters that they share with what is done to many jobs at once."""

from datetime import UTC, datetime
from itertools import product
from typing import Annotated, TypeVar
from uuid import UUID

import orjson
from fastapi import APIRouter, Query, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints
from pydantic_core import PydanticCustomError

from duly.api.contract.cursors import job_cursor, read_job_cursor
from duly.api.contract.response_models import JobPage, failures
from duly.api.contract.responses import job_body, json_answer
from duly.domain.events import Status
from duly.domain.ids import parse_job_id
from duly.domain.job import DEFAULT_TENANT
from duly.domain.json_writer import dump_text
from duly.lifecycle.submit.submission_model import Time
from duly.node import Node
from duly.store.read.list_jobs import view_page
from duly.store.schema.access_paths import ListFilter

EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
Storable = StringConstraints(pattern=r"^[^\x00]*$")
MOST_VALUES = 50
MOST_LABELS = 16
Value = TypeVar("Value")


def in_bounds(moment: datetime) -> datetime:
    """What Postgres and ids can hold; no job was made outside of it."""
    return min(max(moment, EARLIEST), LATEST)


def _an_id(text: str) -> str:
    if parse_job_id(text) is None:
        raise PydanticCustomError("id", "must be an id as the service writes it")
    return text


class JobFilter(BaseModel):
    """Which jobs are meant. A filter that is named twice takes either, labels of different names both."""

    model_config = ConfigDict(extra="forbid")

    status: list[Status] = Field(default=[], max_length=MOST_VALUES)
    type: list[Annotated[str, Storable]] = Field(default=[], max_length=MOST_VALUES)
    queue: list[Annotated[str, Storable]] = Field(default=[], max_length=MOST_VALUES)
    batchId: list[Annotated[str, AfterValidator(_an_id)]] = Field(default=[], max_length=MOST_VALUES)
    label: list[Annotated[str, StringConstraints(pattern=r"^[^:\x00]{1,64}:[^\x00]{0,256}$")]] = Field(
        default=[], max_length=MOST_LABELS, description="`name:value`", examples=[["customer:c-42"]]
    )
    createdAfter: Annotated[Time, AfterValidator(in_bounds)] | None = Field(
        default=None, description="made at this time or later"
    )
    createdBefore: Annotated[Time, AfterValidator(in_bounds)] | None = Field(
        default=None, description="made before this time"
    )

    def as_filter(self) -> ListFilter:
        """The same for the ledger."""
        statuses = _each_once(self.status)
        return ListFilter(
            created_before=self.createdBefore,
            created_since=self.createdAfter,
            statuses=statuses if statuses and len(statuses) < len(Status) else None,
            types=_each_once(self.type),
            queues=_each_once(self.queue),
            labels=_label_sets(self.label),
            batches=_each_once([UUID(text) for text in self.batchId]),
        )


class ListQuery(JobFilter):
    """A filter, and which page of what it finds."""

    limit: int = Field(default=50, ge=1, le=200)
    cursor: str | None = None

    def as_filter(self) -> ListFilter:
        """The same for the ledger, from where the page before ended."""
        wanted = super().as_filter()
        if self.cursor is None:
            return wanted
        return wanted._replace(before=min(wanted.before, read_job_cursor(self.cursor)))


def _each_once(values: list[Value]) -> list[Value] | None:
    """Without repetitions; None where there are none."""
    return list(dict.fromkeys(values)) or None


def _label_sets(pairs: list[str]) -> list[str] | None:
    """The sets of labels, as JSON, of which a job has to have one: of each name that is asked for, one value."""
    values: dict[str, list[tuple[str, str]]] = {}
    for pair in dict.fromkeys(pairs):
        name, _, value = pair.partition(":")
        values.setdefault(name, []).append((name, value))
    return [dump_text(dict(chosen)) for chosen in product(*values.values())] if pairs else None


def listing_router(node: Node) -> APIRouter:
    """The route of this section."""
    router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"])

    @router.get("", operation_id="listJobs", response_model=JobPage, responses=failures(422, 503))
    async def list_jobs(wanted: Annotated[ListQuery, Query()]) -> Response:
        """This tenant's jobs, newest first.

        A page is short, or even empty, and yet has a `nextCursor` where the search took too long: go on with that.
        """
        asked = wanted.as_filter()
        async with node.database.connection() as connection:
            page = await view_page(connection, DEFAULT_TENANT, asked, limit=wanted.limit)
        items = [orjson.Fragment(job_body(view)) for view in page.views]
        following = job_cursor(page.next) if page.next is not None else None
        return json_answer(orjson.dumps({"items": items, "nextCursor": following}))

    return router
