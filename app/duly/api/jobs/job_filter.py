"""Filters of jobs, shared by the job list, bulk actions and the tenant's event stream."""

from datetime import UTC, datetime
from itertools import product
from typing import Annotated, TypeAlias, TypeVar
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, StringConstraints
from pydantic_core import PydanticCustomError

from duly.api.contract.openapi_parts import QUERY_MODEL
from duly.domain.events import Status
from duly.domain.ids import parse_job_id
from duly.domain.json_writer import dump_text
from duly.lifecycle.submit.submission_model import Time
from duly.store.read.access_paths import ListFilter

EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
MOST_VALUES = 50
MOST_LABELS = 16
Value = TypeVar("Value")


def in_bounds(moment: datetime) -> datetime:
    """Returns the time, moved into the range of Postgres and of ids. No job was created outside of it."""
    return min(max(moment, EARLIEST), LATEST)


def _checked_id(text: str) -> str:
    if parse_job_id(text) is None:
        raise PydanticCustomError("id", "must be a UUID in canonical form")
    return text


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


Moment: TypeAlias = Annotated[Time, AfterValidator(in_bounds)]
# A WebSocket message may name a single value without a list.
Storable = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$")]
Names = Annotated[list[Storable], BeforeValidator(_as_list), Field(max_length=MOST_VALUES)]
Ids = Annotated[list[Annotated[str, AfterValidator(_checked_id)]], BeforeValidator(_as_list)]
Label = Annotated[str, StringConstraints(pattern=r"^[^:\x00]{1,64}:[^\x00]{0,256}$")]
Labels = Annotated[
    list[Label],
    BeforeValidator(_as_list),
    Field(max_length=MOST_LABELS, description="`name:value`", examples=[["customer:c-42"]]),
]


class JobProperties(BaseModel):
    """Filter by properties of jobs that never change. Repeating one matches any of its values; labels of different
    names must all match.
    """

    model_config = QUERY_MODEL

    type: Names = []
    queue: Names = []
    batchId: Ids = Field(default=[], max_length=MOST_VALUES)
    label: Labels = []

    @property
    def label_values(self) -> dict[str, list[str]]:
        """Returns the values by the name of their label."""
        values: dict[str, list[str]] = {}
        for pair in dict.fromkeys(self.label):
            name, _, value = pair.partition(":")
            values.setdefault(name, []).append(value)
        return values


class JobFilter(JobProperties):
    """Filter of jobs. Repeating one matches any of its values; labels of different names must all match."""

    status: list[Status] = Field(default=[], max_length=MOST_VALUES)
    parentId: Ids = Field(default=[], max_length=MOST_VALUES)
    createdAfter: Moment | None = Field(default=None, description="Created at this time or later.")
    createdBefore: Moment | None = Field(default=None, description="Created before this time.")

    def as_filter(self) -> ListFilter:
        """Returns the filter as the store has it."""
        statuses = _distinct(self.status)
        return ListFilter(
            created_before=self.createdBefore,
            created_since=self.createdAfter,
            statuses=statuses if statuses and len(statuses) < len(Status) else None,
            types=_distinct(self.type),
            queues=_distinct(self.queue),
            labels=self._label_sets(),
            batches=_distinct([UUID(text) for text in self.batchId]),
            parents=_distinct([UUID(text) for text in self.parentId]),
        )

    def _label_sets(self) -> list[str] | None:
        """Returns sets of labels as JSON, one of which a job must have: one value of each name."""
        pairs = [[(name, value) for value in values] for name, values in self.label_values.items()]
        return [dump_text(dict(chosen)) for chosen in product(*pairs)] if pairs else None


def _distinct(values: list[Value]) -> list[Value] | None:
    return list(dict.fromkeys(values)) or None
