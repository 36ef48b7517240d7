"""Content negotiation of codings and forms of errors, compared with a published library."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as some
from werkzeug.datastructures import Accept, MIMEAccept
from werkzeug.http import parse_accept_header

from duly.domain.negotiation import JSON, PROBLEM, Gzip, gzip_use, prefers_problem

WEIGHT = some.sampled_from(["", ";q=0", ";q=0.000", "; q=0.3", ";q=0.5", " ; Q=0.7", ";q=1", ";q=1.0"])
CODINGS = some.lists(
    some.tuples(some.sampled_from(["gzip", "identity", "br", "*"]), WEIGHT), unique_by=lambda one: one[0]
)
RANGES = some.lists(
    some.tuples(
        some.sampled_from([JSON, PROBLEM, "application/*", "*/*", "text/html", "application/problem+xml"]), WEIGHT
    ),
    unique_by=lambda one: one[0],
)


@given(some.text('gzip*;q=0.1,"\\/ \tjson\x00ÿ', max_size=60))
def test_any_text_is_read_without_an_error(text: str) -> None:
    assert gzip_use(text) in Gzip
    assert prefers_problem(text) in {True, False}


def joined(members: Sequence[tuple[str, str]]) -> str:
    return ", ".join(name + weight for name, weight in members)


@given(CODINGS)
def test_gzip_is_sent_where_werkzeug_reads_that_it_is_taken(codings: Sequence[tuple[str, str]]) -> None:
    read = parse_accept_header(joined(codings), Accept)
    gzip, identity = read.quality("gzip"), read.quality("identity")
    # Nothing said of `identity`: it is taken, and what is named goes before.
    named = any(name in {"identity", "*"} for name, _ in codings)
    expected = gzip > 0 and (not named or gzip >= identity)
    assert (gzip_use(joined(codings)) is not Gzip.NEVER) == expected


@given(RANGES)
def test_a_problem_is_sent_where_werkzeug_reads_that_it_is_preferred(ranges: Sequence[tuple[str, str]]) -> None:
    read = parse_accept_header(joined(ranges), MIMEAccept)
    problem, plain = read.quality(PROBLEM), read.quality(JSON)
    named = any(name == PROBLEM for name, _ in ranges)
    assert prefers_problem(joined(ranges)) == (problem > plain or (problem == plain > 0 and named))


@pytest.mark.parametrize(
    "accepted", [None, "", "br", "identity", "gzip;q=0", "*;q=0", "gzip;q=0, *;q=1", "gzip;q=0.1,*"]
)
def test_gzip_is_not_sent(accepted: str | None) -> None:
    assert gzip_use(accepted) is Gzip.NEVER


@pytest.mark.parametrize("accepted", ["gzip;q=2", "gzip;q=", "gzip;q", "gzip;q=x", 'gzip;q="1"', "gzip;a=b", "gzip/x"])
def test_a_malformed_coding_is_none(accepted: str) -> None:
    assert gzip_use(accepted) is Gzip.NEVER
    assert gzip_use(f"{accepted}, gzip;q=0.5") is Gzip.WHERE_LARGE


@pytest.mark.parametrize(
    "accepted", ["gzip", "GZIP", "x-gzip", "*", "br, *;q=0.1", "gzip, identity", ",, gzip;q=0.001"]
)
def test_gzip_is_sent_where_it_pays(accepted: str) -> None:
    assert gzip_use(accepted) is Gzip.WHERE_LARGE


@pytest.mark.parametrize("accepted", ["gzip, identity;q=0", "gzip, *;q=0", "x-gzip;q=0.1, identity;q=0.0"])
def test_gzip_is_sent_where_nothing_else_is_taken(accepted: str) -> None:
    assert gzip_use(accepted) is Gzip.ALWAYS


@pytest.mark.parametrize(
    "accepted",
    [
        PROBLEM,
        PROBLEM.upper(),
        f"{JSON}, {PROBLEM}",
        f"{PROBLEM}, */*",
        f"{PROBLEM};charset=utf-8",
        f'{PROBLEM} ; Charset="UTF-8"; q=0.5, text/html',
        f"{JSON};q=0, */*",
        f"{PROBLEM};q=0.2, {JSON};q=0.1",
    ],
)
def test_a_client_asks_for_a_problem(accepted: str) -> None:
    assert prefers_problem(accepted)


@pytest.mark.parametrize(
    "accepted",
    [
        *["", JSON, "*/*", "application/*", "text/html", f"{PROBLEM};q=0, {JSON}", f"{PROBLEM};q=0"],
        *[f"{JSON}, {PROBLEM};q=0.9", f"application/*;q=0.9, {PROBLEM};q=0.5", f"{PROBLEM};q=0, */*"],
        *[
            f"{PROBLEM};v=2",
            f'text/plain;a="{PROBLEM}"',
            f"x{PROBLEM}",
            f"{PROBLEM}x",
            f"{PROBLEM};q=x",
            f"{PROBLEM}=1",
        ],
    ],
)
def test_a_client_does_not_ask_for_a_problem(accepted: str) -> None:
    assert not prefers_problem(accepted)
