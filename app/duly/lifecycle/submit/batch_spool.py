"""Spools the jobs of a large batch in a temporary file, to bound memory.

The file has no name: no other process can open it, and the system deletes it when this process ends.
"""

import asyncio
import pickle
from collections.abc import AsyncIterator
from tempfile import SpooledTemporaryFile
from typing import Self

from duly.domain.job import NewJob
from duly.errors import Unavailable

# Size of a chunk, which becomes one statement: this number of jobs, or this number of characters of parameters.
CHUNK_JOBS = 500
CHUNK_CHARACTERS = 1 << 20
# Smaller spools never reach the disk.
IN_MEMORY = 1 << 20

Placed = tuple[int, NewJob]


class JobSpool:
    """Takes jobs with their indexes one by one, and returns them in chunks, as often as needed. All chunks but the last
    one, which is kept as it is, are in the file.
    """

    def __init__(self) -> None:
        self._file = SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115  # closed at the end of the block
        self._chunk: list[Placed] = []
        self._characters = 0
        self._written = False
        self.count = 0

    def add(self, index: int, job: NewJob) -> None:
        """Adds a job. The caller writes a full chunk before."""
        self._chunk.append((index, job))
        self._characters += len(job.parameters)
        self.count += 1

    @property
    def full(self) -> bool:
        """Returns whether the chunk is full."""
        return len(self._chunk) >= CHUNK_JOBS or self._characters >= CHUNK_CHARACTERS

    async def write(self) -> None:
        """Writes the chunk.

        Raises:
            Unavailable: the disk is full.
        """
        chunk, self._chunk, self._characters = self._chunk, [], 0
        self._written = True
        try:
            await asyncio.to_thread(pickle.dump, chunk, self._file)
        except OSError as error:
            raise Unavailable("No disk space for this batch. Retry later.", reason=str(error)) from error

    async def chunks(self) -> AsyncIterator[list[Placed]]:
        """Yields all jobs from the beginning. No more may be added."""
        self._file.seek(0)
        while self._written:
            try:
                chunk: list[Placed] = await asyncio.to_thread(pickle.load, self._file)
            except EOFError:
                break
            yield chunk
        if self._chunk:
            yield self._chunk

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self._file.close)  # frees up to a gigabyte of disk
