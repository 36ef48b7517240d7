"""Hypothesis strategies for JSON values, and numbers whose text Python would change."""

import json

from hypothesis import strategies as st

from duly.domain.json_numbers import NumberText

DEPTH = 64
ANY_TEXT = st.text(st.characters() | st.characters(categories=["Cs"]) | st.just("\0"))
FIT_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
NUMBERS = st.integers() | st.integers(-(10**40), 10**40) | st.floats(allow_nan=False, allow_infinity=False)


def json_values(text: st.SearchStrategy[str]) -> st.SearchStrategy[object]:
    return st.recursive(
        st.none() | st.booleans() | NUMBERS | text,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
        max_leaves=12,
    )


EXACT_NUMBERS = [
    *("0.10", "1e-400", "-0", "-0.0", "0.0", "1E2", "1e+2", "1e2", "100", "12345678901234567.89", "0.1", "1.0", "1.00"),
    *("123456789012345678901234567890", "-0.00", "1e-05", "0.00001", "1e16", "1e+16", "10000000000000000.0", "5e-324"),
    *("18446744073709551616", "0.30000000000000004", "3.14159265358979323846264338327950288", "0e0", "-1E-0"),
]


def holds_unfit_text(value: object) -> bool:
    if isinstance(value, str):
        return any(character == "\0" or "\ud800" <= character <= "\udfff" for character in value)
    if isinstance(value, dict):
        return any(holds_unfit_text(part) for pair in value.items() for part in pair)
    return isinstance(value, list) and any(map(holds_unfit_text, value))


def plain(value: object) -> object:
    """Returns the value with numbers as Python reads them."""
    if isinstance(value, NumberText):
        return json.loads(value.text)
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, list) else value
