"""Access log: one line for each request that is refused or changes state, without secrets.

A line contains no query, no headers and no body, and of the path only its pattern and known IDs. Lines are collected
for up to a tenth of a second and written together. Through structlog each would take 26 microseconds, a third of a
submission.
"""

import asyncio
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Literal, NamedTuple

import orjson

GATHER_SECONDS = 0.1
# Sizes of one write. Writes of several processes to one pipe are not interleaved up to the smaller size (POSIX,
# PIPE_BUF; 4,096 on Linux); each takes 30 microseconds.
PIECE_BYTES, PIECE_BYTES_OF_ONE = 4_000, 32_000
# Lines that wait to become text.
MOST_LINES = 100
# Number of combinations of route, client and result whose text is cached.
KNOWN_TEXTS = 1_024


class AccessLine(NamedTuple):
    """Completed request, or message of a WebSocket.

    Attributes:
        began: start, by `time.perf_counter`.
        names: IDs in the path or in `Location` of the response, such as `jobId`.
        route: pattern of the path; None if unknown.
        status: status of the response; None if the client disconnected before it.
    """

    began: float
    request_id: str
    names: Mapping[str, str]
    key_id: str | None
    tenant: str
    method: str
    route: str | None
    status: int | None
    code: str | None
    client: str | None


class AccessLog:
    """Access log of one process. Lines become text together, which takes half the time of one between two requests.

    Args:
        on: False disables it.
        form: format of the other logs.
        shared: True if other processes write to the same file.
    """

    def __init__(self, *, on: bool, form: Literal["console", "json"], shared: bool = True) -> None:
        self.on = on
        self._piece_bytes = PIECE_BYTES if shared else PIECE_BYTES_OF_ONE
        self.write: Callable[[bytes], object] = _to_standard_error
        self._encoded = _as_json if form == "json" else _as_text
        self._line = _line_as_json if form == "json" else _line_as_text
        self._lines: list[tuple[AccessLine, float, float]] = []
        self._shed = 0
        self._due: asyncio.TimerHandle | None = None

    def put(self, line: AccessLine) -> None:
        """Queues a line, which is written within `GATHER_SECONDS`."""
        if self.on:
            self._lines.append((line, _now(), time.perf_counter() - line.began))
            self._schedule()
            if len(self._lines) >= MOST_LINES:
                self.flush()

    def shed(self) -> None:
        """Counts a submission refused by load shedding; a line for each would cost more than the refusal."""
        if self.on:
            self._shed += 1
            self._schedule()

    def _schedule(self) -> None:
        if self._due is None:
            self._due = asyncio.get_running_loop().call_later(GATHER_SECONDS, self.flush)

    def flush(self) -> None:
        """Writes the lines collected."""
        if self._due is not None:
            self._due.cancel()
            self._due = None
        lines, self._lines = self._lines, []
        texts = [self._line(*line) for line in lines]
        shed, self._shed = self._shed, 0
        if shed:
            text = f"{shed:,} submissions refused by load shedding"
            told = {**_head(text, _now()), "action": "submissions_shed", "count": shed, "code": "OVERLOADED"}
            texts.append(self._encoded(told))
        self._write(texts)

    def _write(self, texts: Sequence[bytes]) -> None:
        """Writes lines in pieces."""
        first = size = 0
        for number, text in enumerate(texts):
            if size and size + len(text) > self._piece_bytes:
                self.write(b"".join(texts[first:number]))
                first, size = number, 0
            size += len(text)
        if size:
            self.write(b"".join(texts[first:]))


def _head(message: str, at: float) -> dict[str, object]:
    return {"message": message, "level": "info", "timestamp": datetime.fromtimestamp(at, UTC)}


def _line_as_json(line: AccessLine, at: float, seconds: float) -> bytes:
    """Returns the line as `_as_json` would, in a third of the time, since most of it repeats between lines."""
    names = orjson.dumps(line[2])
    return b'{%b,"timestamp":"%b","requestId":%b,"durationMs":%.1f%b%b\n' % (
        _shared(line[3:]),
        _utc(int(at * 1000)),
        orjson.dumps(line[1]),
        seconds * 1000,
        b"," if line[2] else b"",
        names[1:],
    )


@lru_cache(maxsize=KNOWN_TEXTS)
def _shared(members: tuple[str | int | None, ...]) -> bytes:
    """Returns the members shared by lines of one key, route, result and client, without the braces."""
    key_id, tenant, method, route, status, code, client = members
    shared = {
        "message": _message(method, route, status),
        "level": "info",
        "action": "access",
        "keyId": key_id,
        "tenant": tenant,
        "method": method,
        "route": route,
        "status": status,
        "code": code,
        "client": client,
    }
    return orjson.dumps(shared)[1:-1]


def _utc(milliseconds: int) -> bytes:
    whole, rest = divmod(milliseconds, 1000)
    return b"%b.%03dZ" % (_second(whole), rest)


@lru_cache(maxsize=8)
def _second(whole: int) -> bytes:
    return f"{datetime.fromtimestamp(whole, UTC):%Y-%m-%dT%H:%M:%S}".encode()


def _line_as_text(line: AccessLine, at: float, seconds: float) -> bytes:
    told = {
        **_head(_message(line.method, line.route, line.status), at),
        "action": "access",
        "requestId": line.request_id,
        "keyId": line.key_id,
        "tenant": line.tenant,
        "method": line.method,
        "route": line.route,
        "status": line.status,
        "code": line.code,
        "durationMs": _tenths(seconds),
        "client": line.client,
    }
    return _as_text({**told, **line.names})


def _message(method: object, route: object, status: object) -> str:
    return f"{method} {route or 'unknown path'}: {status or 'no response'}"


def _tenths(seconds: float) -> float:
    """Returns milliseconds with one decimal."""
    return int(seconds * 10_000) / 10


def _now() -> float:
    return time.time()  # noqa: TID251  # logs use the clock of the machine


def _as_json(members: Mapping[str, object]) -> bytes:
    return orjson.dumps(members, option=orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE)


def _as_text(members: Mapping[str, object]) -> bytes:
    message, level, at, *_ = members.values()
    told = " ".join(f"{name}={_plain(value)}" for name, value in list(members.items())[3:] if value is not None)
    return f"{at:%Y-%m-%d %H:%M:%S} [{level:<9}] {message:<40} {told}\n".encode()


def _plain(value: object) -> str:
    """Returns a value as text on one line for a terminal, in quotes where it could be taken for several members."""
    text = str(value)
    if not text.isprintable():
        return ascii(text)
    return repr(text) if " " in text else text


def _to_standard_error(lines: bytes) -> None:
    try:
        sys.stderr.write(lines.decode())
        sys.stderr.flush()
    except (OSError, ValueError):  # a closed log must not fail a request
        pass
