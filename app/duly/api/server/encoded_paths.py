"""Addresses: an encoded slash is part of a name and separates nothing (RFC 3986, section 2.2)."""

import re
from urllib.parse import unquote

from starlette.types import Scope

from duly.domain.names import BELOW, ends_as_address
from duly.errors import NotFound

# A name between literal slashes, and what belongs to it.
_NAMED = re.compile(rf"/api/v1/(?:queues|job-types)/(.*?)(?:/(?:{'|'.join(BELOW)}))?")


def refuse_encoded_slash(scope: Scope) -> None:
    """Takes an encoded slash in the name of a queue or type alone, and not where the decoded name would end early.

    Raises:
        NotFound: the address has one elsewhere.
    """
    raw = scope.get("raw_path", b"").decode("latin-1")
    if "%2f" not in raw.lower():
        return
    name = _NAMED.fullmatch(raw)
    if name is None or ends_as_address(unquote(name[1])):
        raise NotFound("There is nothing at this address.", reason="An encoded slash (%2F) separates nothing.")
