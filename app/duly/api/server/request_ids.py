"""The id of a request: the client's own, or one that is made."""

import re
from collections.abc import Mapping
from secrets import token_hex

_REQUEST_ID = re.compile(rb"[\x21-\x7e]{1,200}")


def request_id_of(headers: Mapping[bytes, bytes]) -> bytes:
    given = headers.get(b"x-request-id", b"")
    return given if _REQUEST_ID.fullmatch(given) else token_hex(8).encode()
