"""Entity tags of jobs: the sequence (RFC 9110, sections 8.8.3 and 13.1.2).

The tag of a compressed response is weak, since a strong one would be shared by two representations. Proxies that
compress append the coding to the tag, and do not remove it from requests.
"""

import re
from typing import Final

_TAG: Final = re.compile(r'[ \t,]*(?:(?:W/)?"([\x21\x23-\x7e\x80-\xff]*)"[ \t]*(?:,|$))?')
# `-gzip`: Apache's mod_deflate and mod_brotli; `--gzip`: Jetty; `;gzip`: older Django.
_SEQUENCE: Final = re.compile(r"([0-9]{1,10})(?:(?:--?|;)(?:gzip|br|zstd|deflate))*")
ANY: Final = "*"


def tag_of(sequence: int) -> str:
    """Returns the entity tag of a job at this sequence."""
    return f'"{sequence}"'


def weak(tag: str) -> str:
    """Returns the weak form of a tag."""
    return tag if tag.startswith("W/") else f"W/{tag}"


def read_sequences(if_none_match: str) -> frozenset[int] | None:
    """Returns the sequences in `If-None-Match`, by weak comparison; None for `*`, which matches any job.

    A malformed field has none.
    """
    text = if_none_match.strip(" \t")
    if text == ANY:
        return None
    sequences: set[int] = set()
    at = 0
    while at < len(text):
        found = _TAG.match(text, at)
        if found is None or found.end() == at or (found[1] is None and found.end() < len(text)):
            return frozenset()
        if found[1] is not None and (known := _SEQUENCE.fullmatch(found[1])):
            sequences.add(int(known[1]))
        at = found.end()
    return frozenset(sequences)
