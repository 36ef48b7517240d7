"""Reads Server-Sent Events from a stream of bytes.

The event-stream format of the WHATWG HTML standard, section 9.2. The text is split on the three line
endings that it names and on no other: `str.splitlines` would also cut JSON at a U+2028.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_LINE_END = re.compile(rb"\r\n|\n|\r")
_BYTE_ORDER_MARK = "\ufeff"


@dataclass(frozen=True, slots=True)
class Frame:
    """One event: its type, its text, the id to resume after, and how long to wait before a reconnect."""

    event: str
    data: str
    id: str | None
    retry_seconds: float | None


def read_lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """The lines of a stream, each as soon as it is whole; what follows the last line end is dropped."""
    for number, line in enumerate(_byte_lines(chunks)):
        text = line.decode("utf-8", errors="replace")
        yield text.removeprefix(_BYTE_ORDER_MARK) if number == 0 else text


def _byte_lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    pieces: list[bytes] = []
    after_cr = False
    for chunk in filter(None, chunks):
        # A CR ended its line when it came; an LF right behind it belongs to it.
        first, *others = _LINE_END.split(chunk.removeprefix(b"\n") if after_cr else chunk)
        after_cr = chunk.endswith(b"\r")
        pieces.append(first)
        for other in others:
            yield b"".join(pieces)
            pieces = [other]


def read_frames(lines: Iterable[str]) -> Iterator[Frame]:
    """The frames of a stream. One that carries only an id or a retry hint has empty data; comments are skipped."""
    fields: dict[str, str] = {}
    data: list[str] = []
    for line in lines:
        if line == "":
            if fields or data:
                yield _frame(fields, data)
            fields, data = {}, []
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            data.append(value)
        elif _counts(name, value):
            fields[name] = value


def _counts(name: str, value: str) -> bool:
    """Returns whether a field sets something; one that does not leaves an earlier one of its name as it is."""
    match name:
        case "event":
            return True
        case "id":
            return "\0" not in value
        case "retry":
            return value.isascii() and value.isdigit()
        case _:
            return False


def _frame(fields: dict[str, str], data: list[str]) -> Frame:
    retry = fields.get("retry")
    return Frame(
        event=fields.get("event") or "message",
        data="\n".join(data),
        id=fields.get("id"),
        retry_seconds=float(retry) / 1000 if retry is not None else None,
    )
