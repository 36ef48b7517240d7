import pytest

from duly.domain.header_rules import (
    LONGEST_NAME,
    LONGEST_VALUE,
    RESERVED_HEADERS,
    header_name_refusal,
    header_value_refusal,
)


@pytest.mark.parametrize("name", ["X-Api-Key", "authorization", "a", "!#$%&'*+-.^_`|~0", "x" * LONGEST_NAME])
def test_a_token_is_the_name_of_a_header(name: str) -> None:
    assert header_name_refusal(name) is None


@pytest.mark.parametrize("name", ["", " ", "a b", "a:", "a\r\nb", "a\x00", "(a)", "é", "x\n", '"a"', "x" * 129])
def test_what_is_no_token_names_no_header(name: str) -> None:
    assert header_name_refusal(name) is not None


@pytest.mark.parametrize(
    "name", ["Host", "CONTENT-LENGTH", "connection", "Transfer-Encoding", "upgrade", "expect", "TE"]
)
def test_what_frames_a_message_is_reserved_in_any_spelling(name: str) -> None:
    assert header_name_refusal(name) == "is reserved for the service"
    assert name.lower() in RESERVED_HEADERS


def test_more_names_may_be_reserved() -> None:
    reserved = RESERVED_HEADERS | {"webhook-id"}
    assert header_name_refusal("Webhook-Id", reserved=reserved) is not None
    assert header_name_refusal("Webhook-Id") is None


@pytest.mark.parametrize("value", ["", "a", "Bearer a.b-c==", 'a, b; c="d"', "x" * LONGEST_VALUE])
def test_printable_ascii_is_the_value_of_a_header(value: str) -> None:
    assert header_value_refusal(value) is None


@pytest.mark.parametrize(
    "value", ["a\r\nb: c", "a\nb", "a\rb", "\x00", "a\tb", "\x7f", "é", " a", "a ", "s3cret" * 999]
)
def test_a_value_that_would_break_a_message_is_refused_without_being_repeated(value: str) -> None:
    refused = header_value_refusal(value)
    assert refused is not None
    assert "s3cret" not in refused
