"""Content negotiation: the coding and the media type of a response (RFC 9110, section 12)."""

from collections.abc import Iterable
from enum import Enum, auto
from typing import Final

from duly.domain.http_field_values import ListMember, quality, read_members, unquoted

JSON: Final = "application/json"
PROBLEM: Final = "application/problem+json"
_ALIASES: Final = {"x-gzip": "gzip"}  # RFC 9110, section 8.4.1.3


class Gzip(Enum):
    """Use of gzip in a response."""

    NEVER = auto()
    WHERE_LARGE = auto()
    ALWAYS = auto()  # the client excludes the response as it is


def gzip_use(accept_encoding: str | None) -> Gzip:
    """Returns how `Accept-Encoding` lets a response be gzipped. None: the request has no such field.

    A client that excludes both gzip and `identity` gets `identity`: a response is more use than a refusal.
    """
    weights = _weights(accept_encoding or "")
    other = weights.get("*")
    gzip, identity = weights.get("gzip", other), weights.get("identity", other)
    if not gzip or (identity is not None and identity > gzip):
        return Gzip.NEVER
    return Gzip.ALWAYS if identity == 0 else Gzip.WHERE_LARGE


def _weights(accept_encoding: str) -> dict[str, float]:
    weights: dict[str, float] = {}
    for coding in read_members(accept_encoding):
        weight = _weight(coding)
        if weight is None or coding.value is not None or coding.parameters[1:] or _other(coding):
            continue
        name = _ALIASES.get(coding.name, coding.name)
        weights[name] = max(weight, weights.get(name, 0.0))
    return weights


def prefers_problem(accept: str) -> bool:
    """Returns whether `Accept` prefers RFC 9457 to plain JSON: by a higher weight, or by its name at the same one."""
    ranges = [media_range for media_range in read_members(accept) if media_range.value is None]
    problem, named = _match(ranges, PROBLEM)
    plain, _ = _match(ranges, JSON)
    return problem > plain or (problem == plain > 0 and named)


def _match(ranges: Iterable[ListMember], media_type: str) -> tuple[float, bool]:
    """Returns the weight of a media type by the most specific range that takes it, and whether that range names it."""
    specificity = {media_type: 2, f"{media_type.partition('/')[0]}/*": 1, "*/*": 0}
    best = (-1, 0.0)
    for media_range in ranges:
        weight = _weight(media_range)
        if weight is not None and media_range.name in specificity and not _other(media_range):
            best = max(best, (specificity[media_range.name], weight))
    return best[1], best[0] == 2  # noqa: PLR2004  # the highest of the three


def _weight(member: ListMember) -> float | None:
    """Returns the weight of a member, 1 where it has none; None where it is malformed."""
    weights = [value for name, value in member.parameters if name == "q"]
    return quality(weights[0]) if weights else 1.0


def _other(member: ListMember) -> bool:
    """Returns whether a member is about a representation other than ours, which has no parameters. Only parameters
    before the weight count; `charset=utf-8` is what JSON has.
    """
    for name, value in member.parameters:
        if name == "q":
            return False
        if (name, unquoted(value or "").lower()) != ("charset", "utf-8"):
            return True
    return False
