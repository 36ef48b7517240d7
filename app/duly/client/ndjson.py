"""NDJSON that is written while its documents are read, in bounded memory."""

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator

from duly.client.request import as_json

_PIECE_BYTES = 64 * 1024


class LineBuffer:
    """Lines that are joined into pieces of at least 64 KiB, so that a small document costs no write of its own."""

    def __init__(self) -> None:
        self._lines: list[bytes] = []
        self._bytes = 0

    def pieces(self, documents: Iterable[object]) -> Iterator[bytes]:
        """Yields the body of a request, piece by piece."""
        for document in documents:
            if piece := self._add(document):
                yield piece
        yield self._take()

    async def async_pieces(self, documents: AsyncIterable[object]) -> AsyncIterator[bytes]:
        """Yields the body of a request, piece by piece."""
        async for document in documents:
            if piece := self._add(document):
                yield piece
        yield self._take()

    def _add(self, document: object) -> bytes | None:
        line = as_json(document) + b"\n"
        self._lines.append(line)
        self._bytes += len(line)
        return self._take() if self._bytes >= _PIECE_BYTES else None

    def _take(self) -> bytes:
        piece = b"".join(self._lines)
        self._lines.clear()
        self._bytes = 0
        return piece
