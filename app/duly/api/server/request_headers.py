"""Header fields of a request: each name once, and no content coding."""

from collections.abc import Sequence

from duly.errors import BadRequest, UnsupportedContentCoding

# Fields that hold one value: two of them are read differently by each recipient (RFC 9110, section 5.3).
_SINGLE = frozenset(
    {b"authorization", b"content-type", b"host", b"idempotency-key", b"last-event-id", b"origin", b"x-correlation-id"}
)
_UNCODED = frozenset({b"", b"identity"})


def check_fields(method: str, headers: dict[bytes, bytes], lines: Sequence[tuple[bytes, bytes]]) -> None:
    """Joins what was sent in several lines; `headers` has the last line of each name.

    Raises:
        BadRequest: a field that holds one value is sent twice.
        UnsupportedContentCoding: the content is compressed. GET, HEAD and OPTIONS have none that is read.
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
            raise BadRequest(f"The header {shown} is sent {len(repeated)} times.", reason=f"Send {shown} once.")
        headers[name] = b", ".join(repeated)


def _refuse_codings(value: bytes) -> None:
    codings = {coding.strip(b" \t").lower() for coding in value.split(b",")} - _UNCODED
    if codings:
        raise UnsupportedContentCoding(
            "The content is compressed, and only plain content is read.",
            reason="Send it without Content-Encoding.",
        )
