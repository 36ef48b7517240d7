"""Compares the output that a page shows with the output of a command.

White space is ignored, because pages break long lines. `…` and `...` match anything. An id or a time matches any other
id or time.
"""

import json
import re
from typing import Any, Final

_UUID: Final = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_TIME: Final = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z"
# An id may be cut short: `01a1ff45-…`.
_ANY: Final = re.compile(
    rf"(?P<id>(?:{_UUID}|[0-9a-f]{{8}}-(?:[0-9a-f]{{4}}-)*…))|(?P<time>{_TIME})|(?P<anything>…|\.\.\.)"
)
_PATTERNS: Final = {"anything": ".*?", "id": _UUID, "time": _TIME}


class Mismatch(AssertionError):
    """Output that differs from the shown one."""


def compare(shown: str, printed: str) -> None:
    """Compares text.

    Raises:
        Mismatch: they differ.
    """
    wanted, found = _without_spaces(shown), _without_spaces(printed)
    pattern, at = "", 0
    for match in _ANY.finditer(wanted):
        pattern += re.escape(wanted[at : match.start()]) + _PATTERNS[str(match.lastgroup)]
        at = match.end()
    pattern += re.escape(wanted[at:])
    if not re.fullmatch(pattern, found, re.DOTALL):
        raise Mismatch(f"\n--- shown\n{shown}\n--- printed\n{printed}")


def compare_json(shown: str, printed: str) -> None:
    """Compares a JSON document with the last one that was printed: it has these members, of these types.

    Raises:
        Mismatch: nothing of that shape was printed.
    """
    documents = _documents(printed)
    if not documents:
        raise Mismatch(f"no JSON was printed, but:\n{printed}")
    _compare(json.loads(shown), documents[-1], "$")


def _compare(shown: Any, printed: Any, path: str) -> None:
    if shown is None or printed is None:
        return
    if _kind(shown) != _kind(printed):
        raise Mismatch(f"{path} is {json.dumps(printed)[:200]}, and {json.dumps(shown)[:200]} is shown")
    if isinstance(shown, dict):
        for name, value in shown.items():
            if name not in printed:
                raise Mismatch(f"{path}.{name} is shown; printed are {', '.join(printed)}")
            _compare(value, printed[name], f"{path}.{name}")
    elif isinstance(shown, list) and shown and printed:
        _compare(shown[0], printed[0], f"{path}[0]")


def _kind(value: object) -> type:
    return float if isinstance(value, int) and not isinstance(value, bool) else type(value)


def _documents(text: str) -> list[Any]:
    decoder, found, at = json.JSONDecoder(), [], 0
    while (begin := re.compile(r"[\[{]").search(text, at)) is not None:
        try:
            document, at = decoder.raw_decode(text, begin.start())
            found.append(document)
        except ValueError:
            at = begin.end()
    return found


def _without_spaces(text: str) -> str:
    return re.sub(r"\s+", "", text)
