"""Parser of server-sent events, fed with the bytes of a connection as they arrive."""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass

_LINE_END = re.compile(r"\r\n|\n|\r")
_LONGEST_RETRY_DIGITS = 12


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """Block of an event stream, also one without data.

    Attributes:
        type: event type; `message` if the block names none.
        data: data lines, joined by line feeds.
        id: ID of the last block with one, and empty before.
        retry_milliseconds: pause before a reconnection that the block requests.
    """

    type: str
    data: str
    id: str
    retry_milliseconds: int | None


class EventParser:
    """Parser of one connection, as specified by the HTML standard, section 9.2.6.

    Unlike there, a block without data is an event as well, since it may carry an ID or a pause.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
        self._line = ""
        self._after_return = False
        self._fields: dict[str, str] = {}
        self._data: list[str] = []
        self._id = ""

    def feed(self, piece: bytes) -> Iterator[ServerEvent]:
        """Yields the blocks that end in this piece. A block that the end of the connection cuts off is dropped."""
        text = self._decoder.decode(piece)
        if not text:
            return
        if self._after_return:  # the second half of a line end
            text = text.removeprefix("\n")
        self._after_return = text.endswith("\r")
        *lines, self._line = _LINE_END.split(self._line + text)
        for line in lines:
            if line:
                self._note(line)
            elif (event := self._end_block()) is not None:
                yield event

    def _note(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name in {"event", "id", "retry"} and _is_valid(name, value):
            self._fields[name] = value

    def _end_block(self) -> ServerEvent | None:
        fields, data = self._fields, "\n".join(self._data)
        self._id = fields.get("id", self._id)
        is_empty = not (fields or self._data)
        self._fields, self._data = {}, []
        if is_empty:
            return None
        retry = fields.get("retry")
        return ServerEvent(
            type=fields.get("event") or "message",
            data=data,
            id=self._id,
            retry_milliseconds=None if retry is None else int(retry[:_LONGEST_RETRY_DIGITS]),
        )


def _is_valid(name: str, value: str) -> bool:
    if name == "retry":
        return value.isascii() and value.isdigit()
    return name != "id" or "\0" not in value
