"""Forwarded headers of proxies: believed as far back as they are trusted, and read by its grammar."""

from ipaddress import IPv4Address, ip_network

import pytest

from duly.domain.forwarded import Forwarded, path_prefix, read_forwarded, read_peer
from duly.domain.special_addresses import Address

PROXIES = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]


def is_trusted(address: Address) -> bool:
    return any(address in network for network in PROXIES)


def forwarded_of(**headers: str | list[str]) -> Forwarded:
    given = {name.replace("_", "-"): [value] if isinstance(value, str) else value for name, value in headers.items()}
    return read_forwarded(
        [(name.encode(), one.encode()) for name, values in given.items() for one in values], is_trusted
    )


def client(**headers: str | list[str]) -> str | None:
    found = forwarded_of(**headers).client
    return f"{found.address}:{found.port}" if found else None


def test_nothing_is_told_where_there_are_no_headers() -> None:
    assert forwarded_of() == Forwarded()


@pytest.mark.parametrize(
    ("forwarded_for", "expected"),
    [
        ("203.0.113.7", "203.0.113.7:0"),
        ("203.0.113.7:4711", "203.0.113.7:4711"),
        ("[2001:db8::7]:4711", "2001:db8::7:4711"),
        ("[2001:db8::7]", "2001:db8::7:0"),
        ("2001:db8::7", "2001:db8::7:0"),
        ("::ffff:203.0.113.7", "203.0.113.7:0"),
        # An address forged by a client precedes those that the proxies added.
        ("127.0.0.1, 203.0.113.7", "203.0.113.7:0"),
        ("127.0.0.1, 203.0.113.7, 10.0.0.2", "203.0.113.7:0"),
        ("1.1.1.1, 203.0.113.7, 10.0.0.2, fd00::2", "203.0.113.7:0"),
        (["1.1.1.1", "203.0.113.7, 10.0.0.2"], "203.0.113.7:0"),
        ("10.0.0.3, 10.0.0.2", "10.0.0.3:0"),
        # An entry that is not an address ends the search: entries before it are ignored.
        ("unknown", None),
        ("203.0.113.7, unknown, 10.0.0.2", "10.0.0.2:0"),
        ("203.0.113.7, _secret", None),
        ("", None),
        (",,", None),
    ],
)
def test_the_client_is_the_last_that_is_no_trusted_proxy(forwarded_for: str | list[str], expected: str | None) -> None:
    assert client(x_forwarded_for=forwarded_for) == expected


@pytest.mark.parametrize(
    ("forwarded", "expected"),
    [
        ("for=203.0.113.7", "203.0.113.7:0"),
        ('For="[2001:db8:cafe::17]:4711"', "2001:db8:cafe::17:4711"),
        ('for=192.0.2.43, for="[2001:db8:cafe::17]"', "2001:db8:cafe::17:0"),
        ("for=192.0.2.60;proto=http;by=203.0.113.43", "192.0.2.60:0"),
        ("for=1.1.1.1, for=203.0.113.7;by=10.0.0.9, for=10.0.0.2", "203.0.113.7:0"),
        (["for=1.1.1.1", "for=203.0.113.7"], "203.0.113.7:0"),
        ('for="203.0.113.7:80" , for=10.0.0.2', "203.0.113.7:80"),
        ('for=1.1.1.1;note="a, for=2.2.2.2", for=203.0.113.7', "203.0.113.7:0"),
        ("for=203.0.113.7,", "203.0.113.7:0"),
        ("for=_hidden, for=10.0.0.2", "10.0.0.2:0"),
        ("for = 203.0.113.7", None),
        ('for="203.0.113.7', None),
        ("203.0.113.7", None),
    ],
)
def test_forwarded_is_read_by_its_grammar(forwarded: str | list[str], expected: str | None) -> None:
    assert client(forwarded=forwarded) == expected


def test_scheme_and_host_are_those_that_the_clients_own_proxy_told_of() -> None:
    one = forwarded_of(x_forwarded_for="203.0.113.7", x_forwarded_proto="https", x_forwarded_host="jobs.example.com")
    assert (one.scheme, one.host) == ("https", "jobs.example.com")
    several = forwarded_of(
        x_forwarded_for="1.1.1.1, 203.0.113.7, 10.0.0.2",
        x_forwarded_proto="ftp, https, http",
        x_forwarded_host="evil.example, jobs.example.com:8443, inner",
    )
    assert (several.scheme, several.host) == ("https", "jobs.example.com:8443")
    forwarded = forwarded_of(
        forwarded='for=1.1.1.1;host=evil, for=203.0.113.7;proto=HTTPS;host="[::1]:80", for=10.0.0.2'
    )
    assert (forwarded.scheme, forwarded.host) == ("https", "[::1]:80")
    assert forwarded_of(x_forwarded_proto="https").scheme == "https"


def test_x_forwarded_goes_before_a_forwarded_that_a_proxy_passed_on() -> None:
    found = forwarded_of(x_forwarded_for="203.0.113.7", forwarded="for=1.1.1.1;proto=https;host=evil.example")
    assert (found.client and found.client.address, found.scheme, found.host) == (
        IPv4Address("203.0.113.7"),
        None,
        None,
    )


@pytest.mark.parametrize("host", ["", "a b", "evil/path", "evil@host", "host:port", "host:999999", 'a"b', "a,"])
def test_a_host_that_is_none_is_not_taken(host: str) -> None:
    assert forwarded_of(x_forwarded_host=host).host in {None, "a"}


@pytest.mark.parametrize("scheme", ["", "ftp", "javascript", "https:"])
def test_a_scheme_that_is_none_is_not_taken(scheme: str) -> None:
    assert forwarded_of(x_forwarded_proto=scheme).scheme is None


@pytest.mark.parametrize(
    ("text", "prefix"),
    [
        ("", ""),
        ("/", ""),
        ("/duly", "/duly"),
        ("/duly/", "/duly"),
        ("/a/b-c_d.e~f", "/a/b-c_d.e~f"),
        ("duly", None),
        ("//evil.example", None),
        ("/a//b", None),
        ("/a/../b", None),
        ("/.", None),
        ("/a?b", None),
        ("/a%2fb", None),
        ("/a b", None),
        ("/a\r\nSet-Cookie: b", None),
        ("https://evil.example", None),
    ],
)
def test_a_prefix_is_a_plain_path(text: str, prefix: str | None) -> None:
    assert path_prefix(text) == prefix


def test_the_prefixes_of_several_proxies_stand_behind_each_other() -> None:
    assert forwarded_of(x_forwarded_prefix="/outer/, /inner").prefix == "/outer/inner"
    assert forwarded_of(x_forwarded_prefix=["/outer", "inner"]).prefix == "/outer/inner"
    assert forwarded_of(x_forwarded_prefix="//evil.example/..").prefix is None


@pytest.mark.parametrize("text", ["", "localhost", "1.2.3", "1.2.3.4:x", "[::1", "::1]", "1.2.3.4:", "300.1.1.1"])
def test_what_is_no_address_is_none(text: str) -> None:
    assert read_peer(text) is None
