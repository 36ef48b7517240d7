"""Durations in words."""

_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400


def duration_words(seconds: float) -> str:
    """Returns a duration as `12 s`, `3 min`, `2 h 5 min` or `4 d 3 h`."""
    if seconds < _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < _HOUR:
        return f"{seconds // _MINUTE:.0f} min"
    if seconds < 2 * _DAY:
        return f"{seconds // _HOUR:.0f} h {seconds % _HOUR // _MINUTE:.0f} min"
    return f"{seconds // _DAY:,.0f} d {seconds % _DAY // _HOUR:.0f} h"
