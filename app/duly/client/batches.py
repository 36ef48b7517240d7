"""Operations on batches."""

from typing import cast

from duly.client.answers import Batch
from duly.client.operation import Operations, PerformerT, iteration, operation
from duly.client.paging import items_of
from duly.client.request import get, path_of, post
from duly.client.sending import call
from duly.client.steps import Items, Steps


class BatchOperations(Operations[PerformerT]):
    """Lists, reads and cancels batches."""

    @iteration
    def list(self) -> Items[Batch]:
        """Yields the batches, newest first, page by page."""
        return items_of(path_of("batches"))

    @operation
    def get(self, batch_id: str) -> Steps[Batch]:
        """Returns the current state of the batch, with the number of its jobs in each status."""
        return cast("Batch", (yield from call(get(path_of("batches", batch_id)))))

    @operation
    def cancel(self, batch_id: str) -> Steps[Batch]:
        """Cancels all unfinished jobs of the batch."""
        request = post(path_of("batches", batch_id, "cancel"), repeatable=True)
        return cast("Batch", (yield from call(request)))
