"""Reads Server-Sent Events from a stream of bytes.

The event-stream format of the WHATWG HTML standard, section 9.2. The text is split on the three line
endings that it names and on no other: `str.splitlines` would also cut JSON at a U+2028.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_LINE_END = re.compile(rb"\r\n|\n|\r")


@dataclass(frozen=True, slots=True)
class Frame:
    """One event: its type, its text, the id to resume after, and how long to wait before a reconnect."""

    event: str
    data: str
    id: str | None
    retry_seconds: float | None


def read_lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """The lines of a stream, each as soon as it is whole; what follows the last line end is dropped."""
    rest = b""
    for chunk in chunks:
        rest += chunk
        # A CR at the very end may be the first half of a CRLF whose LF is still on its way.
        held = b"\r" if rest.endswith(b"\r") else b""
        *lines, rest = _LINE_END.split(rest.removesuffix(held))
        rest += held
        for line in lines:
            yield line.decode("utf-8", errors="replace")
    if rest.endswith(b"\r"):
        yield rest[:-1].decode("utf-8", errors="replace")


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
        elif name:
            fields[name] = value


def _frame(fields: dict[str, str], data: list[str]) -> Frame:
    retry = fields.get("retry", "")
    return Frame(
        event=fields.get("event", "message"),
        data="\n".join(data),
        id=fields.get("id"),
        retry_seconds=int(retry) / 1000 if retry.isascii() and retry.isdigit() else None,
    )
