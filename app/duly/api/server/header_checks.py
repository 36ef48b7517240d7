"""Headers of a request: its id, repeated fields, and content codings."""

import re
from collections.abc import Mapping, Sequence
from random import getrandbits

from duly.errors import BadRequest, UnsupportedContentCoding

# Fields with a single value: recipients differ in which of two they use (RFC 9110, section 5.3).
_SINGLE = frozenset(
    {b"authorization", b"content-type", b"host", b"idempotency-key", b"last-event-id", b"origin", b"x-correlation-id"}
)
_UNCODED = frozenset({b"", b"identity"})
_REQUEST_ID = re.compile(rb"[\x21-\x7e]{1,200}")


def request_id_of(headers: Mapping[bytes, bytes]) -> bytes:
    """Returns the id of a request: the client's own, or a generated one."""
    given = headers.get(b"x-request-id")
    return given if given is not None and _REQUEST_ID.fullmatch(given) else new_request_id()


def new_request_id() -> bytes:
    """Returns a request id: not a secret, so no system call is made for it, which takes 1.2 µs."""
    return b"%016x" % getrandbits(64)


def check_fields(method: str, headers: dict[bytes, bytes], lines: Sequence[tuple[bytes, bytes]]) -> None:
    """Joins repeated fields in `headers`, which has the last line of each.

    Raises:
        BadRequest: a field with a single value is repeated.
        UnsupportedContentCoding: the content is compressed. Content of GET, HEAD and OPTIONS is ignored.
    """
    _join_repeated(headers, lines)
    if method not in {"GET", "HEAD", "OPTIONS"}:
        _refuse_codings(headers.get(b"content-encoding", b""))


def _join_repeated(headers: dict[bytes, bytes], lines: Sequence[tuple[bytes, bytes]]) -> None:
    values: dict[bytes, list[bytes]] = {}
    for name, value in lines:
        values.setdefault(name, []).append(value)
    for name, repeated in values.items():
        if len(repeated) > 1 and name in _SINGLE:
            shown = name.decode().title()
            raise BadRequest(f"Header {shown} was sent {len(repeated)} times.", reason=f"Send {shown} once.")
        headers[name] = b", ".join(repeated)


def _refuse_codings(value: bytes) -> None:
    codings = {coding.strip(b" \t").lower() for coding in value.split(b",")} - _UNCODED
    if codings:
        raise UnsupportedContentCoding(
            "Compressed content is not supported.",
            reason="Send it uncompressed, without Content-Encoding.",
        )
