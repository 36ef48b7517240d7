"""Percent-encoding in addresses: slashes in paths (RFC 3986, section 2.2), and queries that are not UTF-8."""

import re
from urllib.parse import unquote, unquote_to_bytes

from starlette.types import Scope

from duly.domain.names import BELOW, ends_as_address
from duly.errors import Invalid, NotFound, PathError

# Name between literal slashes, and a subresource.
_NAMED = re.compile(rf"/api/v1/(?:queues|job-types)/(.*?)(?:/(?:{'|'.join(BELOW)}))?")


def refuse_encoded_slash(scope: Scope) -> None:
    """Allows an encoded slash in the name of a queue or job type only, and if the decoded name remains unambiguous.

    Raises:
        NotFound: the path has one elsewhere.
    """
    raw_path: bytes = scope.get("raw_path", b"")
    if b"%" not in raw_path or b"%2f" not in raw_path.lower():
        return
    raw = raw_path.decode("latin-1")
    name = _NAMED.fullmatch(raw)
    if name is None or ends_as_address(unquote(name[1])):
        raise NotFound("Not found.", reason="An encoded slash (%2F) does not separate path segments.")


def refuse_unreadable_query(query: bytes) -> None:
    """Refuses names and values that would be read as U+FFFD.

    Raises:
        Invalid: one is not UTF-8.
    """
    if b"%" not in query:
        return
    for pair in query.split(b"&"):
        try:
            unquote_to_bytes(pair).decode()
        except UnicodeDecodeError:
            raise Invalid.at([PathError(pair.partition(b"=")[0].decode("latin-1"), "must be UTF-8")]) from None
