"""Hosts and origins: read as browsers write them, and nothing else is taken for one."""

import pytest

from duly.domain.web_origin import allowed_host, host_and_port, is_loopback, same_place, web_origin

LOOPBACK = (
    *("localhost", "LOCALHOST", "localhost.", "app.localhost", "localhost:8000", "127.0.0.1", "127.0.0.1:80"),
    *("127.255.0.9:1", "[::1]", "[::1]:8000", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]:8000", "localhost:"),
)
FOREIGN = (
    *("evil.example", "localhost.evil.example", "notlocalhost", "127.0.0.1.evil.example", "10.0.0.1:8000", "0.0.0.0"),
    *("[::]", "[fe80::1]", "128.0.0.1", "127.1", "2130706433", "0x7f.0.0.1"),
)


@pytest.mark.parametrize("host", LOOPBACK)
def test_a_loopback_host_is_known_in_each_spelling(host: str) -> None:
    place = host_and_port(host)
    assert place is not None
    assert is_loopback(place.host)


@pytest.mark.parametrize("host", FOREIGN)
def test_a_host_that_somebody_else_may_have_is_not_loopback(host: str) -> None:
    place = host_and_port(host)
    assert place is not None
    assert not is_loopback(place.host)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":80",
        "local host",
        "localhost/",
        "a@localhost",
        "::1",
        "[::1",
        "[zz]",
        "localhost:x",
        "localhost:80:80",
        ".",
    ],
)
def test_text_that_is_no_host_is_not_read(text: str) -> None:
    assert host_and_port(text) is None


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("https://app.example.com", "https://app.example.com"),
        ("HTTPS://App.Example.com/", "https://app.example.com"),
        ("https://app.example.com:443", "https://app.example.com"),
        ("http://app.example.com:443", "http://app.example.com:443"),
        ("http://[::1]:3000", "http://[::1]:3000"),
        ("chrome-extension://abcdef", "chrome-extension://abcdef"),
        *((text, None) for text in ("null", "*", "app.example.com", "https://", "https://a/b", "https://u@a", "//a")),
    ],
)
def test_an_origin_is_read_without_its_default_port(text: str, read: str | None) -> None:
    assert web_origin(text) == read


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("Duly.Example.com", "duly.example.com"),
        ("duly:8000", "duly:8000"),
        ("fd00::1", "[fd00::1]"),
        ("[fd00:0::1]:8000", "[fd00::1]:8000"),
        *((text, None) for text in ("*", "http://duly", "duly/x", "", "a b")),
    ],
)
def test_a_host_of_a_setting_is_read_in_one_spelling(text: str, read: str | None) -> None:
    assert allowed_host(text) == read


@pytest.mark.parametrize(
    ("origin", "host", "same"),
    [
        ("http://127.0.0.1:8000", "127.0.0.1:8000", True),
        ("http://localhost", "localhost:80", True),
        ("https://duly.example.com", "duly.example.com", True),
        ("https://duly.example.com", "duly.example.com:443", True),
        ("http://[::1]:8000", "[0::1]:8000", True),
        ("http://localhost:3000", "localhost:8000", False),
        ("http://localhost:8000", "127.0.0.1:8000", False),
        ("https://duly.example.com", "duly.example.com:80", False),
        *((origin, "localhost:8000", False) for origin in ("null", "", "localhost:8000", "http://[", "x", "http://")),
        ("http://", "", False),
    ],
)
def test_a_page_belongs_to_the_place_that_it_was_loaded_from(origin: str, host: str, same: bool) -> None:
    assert same_place(origin, host) is same
