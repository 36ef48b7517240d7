"""Grant of a stream ticket: one job, a batch, the jobs with certain labels, or all of them."""

import json
from collections.abc import Mapping
from typing import NamedTuple
from uuid import UUID

from duly.domain.key_scope import KeyScope, KeyScopes
from duly.domain.principal import DEFAULT_TENANT_NAME


class Grant(NamedTuple):
    """Rights of a ticket. At most one of `job_id`, `batch_id` and `labels` is set; without any, all jobs are granted.

    Attributes:
        submit: whether jobs may be submitted as well.
        payload: whether parameters, results, errors and progress texts are shown.
        key_id: key that made the ticket; None: no key was required.
        tenant: name of the tenant that the ticket is for.
    """

    job_id: UUID | None = None
    batch_id: UUID | None = None
    labels: Mapping[str, str] | None = None
    submit: bool = False
    payload: bool = True
    key_id: str | None = None
    tenant: str = DEFAULT_TENANT_NAME

    @property
    def limited(self) -> bool:
        """Returns whether the grant excludes some jobs."""
        return self.job_id is not None or self.batch_id is not None or self.labels is not None

    def shows(self, job_id: UUID, *, batch_id: UUID | None, labels: str | None) -> bool:
        """Returns whether a job may be read. `labels` is JSON text."""
        if self.job_id is not None:
            return job_id == self.job_id
        if self.batch_id is not None:
            return batch_id == self.batch_id
        if self.labels is not None:
            return self.labels.items() <= (json.loads(labels) if labels else {}).items()
        return True

    def written(self) -> str:
        """Returns the grant as JSON text."""
        members: dict[str, object] = {
            "jobId": str(self.job_id) if self.job_id is not None else None,
            "batchId": str(self.batch_id) if self.batch_id is not None else None,
            "labels": self.labels,
            "submit": self.submit,
            "payload": self.payload,
            "keyId": self.key_id,
            "tenant": self.tenant,
        }
        return json.dumps(members)

    def scopes(self, of_key: KeyScopes) -> KeyScopes:
        """Returns the scopes of the ticket: those of its key, as far as the ticket extends to them."""
        extent = {KeyScope.JOBS_READ}
        extent |= {KeyScope.JOBS_PAYLOAD} if self.payload else set()
        extent |= {KeyScope.JOBS_WRITE} if self.submit else set()
        return of_key & extent

    @classmethod
    def read(cls, text: str) -> "Grant":
        """Parses the text that `written` returned."""
        found = json.loads(text)
        job_id, batch_id = (UUID(found[name]) if found[name] is not None else None for name in ("jobId", "batchId"))
        others = (found[name] for name in ("labels", "submit", "payload", "keyId", "tenant"))
        return cls(job_id, batch_id, *others)
