"""Jobs on their way into the ledger, many more than memory should hold: they wait in a temporary file.

The file has no name, so nobody else reads it, and it goes with the process whatever becomes of that.
"""

import asyncio
import pickle
from collections.abc import AsyncIterator
from tempfile import SpooledTemporaryFile
from typing import Self

from duly.domain.job import NewJob
from duly.errors import Unavailable

# A chunk is one statement later: of so many jobs, or as soon as their parameters come to so many characters.
CHUNK_JOBS = 500
CHUNK_CHARACTERS = 1 << 20
# What is smaller never reaches the disk.
IN_MEMORY = 1 << 20

Placed = tuple[int, NewJob]


class JobSpool:
    """Takes jobs with their places one by one, and gives them back in chunks, as often as one likes."""

    def __init__(self) -> None:
        self._file = SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115  # closed at the end of the block
        self._chunk: list[Placed] = []
        self._characters = 0
        self.count = 0

    async def put(self, index: int, job: NewJob) -> None:
        """Takes one in.

        Raises:
            Unavailable: the disk is full.
        """
        self._chunk.append((index, job))
        self._characters += len(job.parameters)
        self.count += 1
        if len(self._chunk) >= CHUNK_JOBS or self._characters >= CHUNK_CHARACTERS:
            await self._write()

    async def _write(self) -> None:
        chunk, self._chunk, self._characters = self._chunk, [], 0
        try:
            await asyncio.to_thread(pickle.dump, chunk, self._file)
        except OSError as error:
            raise Unavailable("There is no room for so many jobs just now.", reason=str(error)) from error

    async def chunks(self) -> AsyncIterator[list[Placed]]:
        """All that was taken in, from the beginning; nothing more may come."""
        if self._chunk:
            await self._write()
        self._file.seek(0)
        while True:
            try:
                chunk: list[Placed] = await asyncio.to_thread(pickle.load, self._file)
            except EOFError:
                return
            yield chunk

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self._file.close)  # gives back what may be a gigabyte of the disk
