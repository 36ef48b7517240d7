from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duly.domain.egress_policy import (
    LONGEST_URL,
    PUBLIC,
    EgressPolicy,
    connection_refusal,
    parse_networks,
    parse_target,
    refusal,
    url_refusal,
)
from duly.domain.egress_ports import parse_ports
from duly.domain.special_addresses import REFUSED_NETWORKS
from tests.check_networks import Block, findings, read_registry, uncovered
from tests.support.blocked_networks import EDGES, NEIGHBOURS, ORDINARY

LOOPBACK = EgressPolicy(parse_networks("127.0.0.0/8"))

ODD_LOOPBACK = ["127.1", "127.0.1", "0x7f000001", "0x7f.1", "2130706433", "017700000001", "0177.0.0.1", "127.0.0.1."]
ODD_LOOPBACK += ["[::ffff:127.0.0.1]", "[::FFFF:7f00:1]", "１２７.0.0.1", "127。0。0。1"]  # noqa: RUF001 - such digits are the point


@pytest.mark.parametrize("address", [address for edge in EDGES for address in edge])
def test_both_ends_of_every_refused_network_are_refused(address: str) -> None:
    assert "DULY_WEBHOOK_ALLOW_NETWORKS" in (refusal(address, allowed=()) or "")
    assert refusal(address, allowed=()) == connection_refusal(address, 443, egress=PUBLIC)


@pytest.mark.parametrize("address", [*NEIGHBOURS, *ORDINARY])
def test_public_addresses_are_not_refused(address: str) -> None:
    assert refusal(address, allowed=()) is None
    assert connection_refusal(address, 443, egress=PUBLIC) is None


@pytest.mark.parametrize("address", ["::ffff:0.0.0.0", "::ffff:9.255.255.255", "::ffff:10.0.0.0", "::ffff:192.0.1.0"])
def test_an_ipv4_mapped_address_is_judged_by_the_one_inside(address: str) -> None:
    inner = address.removeprefix("::ffff:")
    assert refusal(address, allowed=()) == refusal(inner, allowed=())


@given(st.ip_addresses())
def test_an_address_is_refused_where_the_table_says_and_hardly_anywhere_else(address: object) -> None:
    parsed = ip_address(str(address))
    inner = getattr(parsed, "ipv4_mapped", None) or parsed
    in_table = any(inner in network for network, _ in REFUSED_NETWORKS)
    assert (refusal(str(address), allowed=()) is not None) == (in_table or ":5efe:" in str(address))


def test_every_block_of_the_registries_and_every_agent_of_a_cloud_is_refused_or_allowed_for_a_reason() -> None:
    assert list(findings()) == []


def test_a_block_of_a_registry_that_nobody_has_thought_about_is_found() -> None:
    registry = 'Address Block,Name\r\n"9.9.9.0/24 [2], 10.1.0.0/16",New\r\n2a00::/16 [3],Newer\r\n'
    new, newer = Block(ip_network("9.9.9.0/24"), "New"), Block(ip_network("2a00::/16"), "Newer")
    assert uncovered(read_registry(registry), allowed={}) == [new, newer]
    assert uncovered(read_registry(registry), allowed={new.network: "for a test"}) == [newer]


# Of each form the address, by the IPv4 address and its last and next to last halves in hexadecimal.
EMBEDDINGS = {
    "compatible": "::{dotted}",
    "translated": "::ffff:0:{dotted}",
    "NAT64": "64:ff9b::{dotted}",
    "local NAT64 of 96 bits": "64:ff9b:1:5::{dotted}",
    "local NAT64 of 48 bits": "64:ff9b:1:{first:02x}{second:02x}:{third:x}:{fourth:02x}00::",
    "6to4": "2002:{high:x}:{low:x}::1",
    "Teredo, its client": "2001:0:808:808:0:0:{not_high:x}:{not_low:x}",
    "Teredo, its server": "2001:0:{high:x}:{low:x}:0:0:f7f7:f7f7",
    "ISATAP": "2a00:1450:1:2:0:5efe:{dotted}",
    "ISATAP, universal": "2a00:1450:1:2:200:5efe:{dotted}",
    "ISATAP, link-local": "fe80::5efe:{dotted}",
}
INNER = ["10.1.2.3", "127.0.0.1", "168.63.129.16", "169.254.169.254", "192.168.7.9", "224.0.0.251"]


def embed(form: str, ipv4: str) -> str:
    high, low = divmod(int(ip_address(ipv4)), 1 << 16)
    first, second, third, fourth = ip_address(ipv4).packed
    return EMBEDDINGS[form].format(
        dotted=ipv4,
        high=high,
        low=low,
        not_high=high ^ 0xFFFF,
        not_low=low ^ 0xFFFF,
        first=first,
        second=second,
        third=third,
        fourth=fourth,
    )


@pytest.mark.parametrize("form", EMBEDDINGS)
def test_an_ipv4_address_that_is_refused_is_refused_inside_every_form_of_ipv6(form: str) -> None:
    everything = parse_networks("::/0")
    for ipv4 in INNER:
        address = embed(form, ipv4)
        assert refusal(address, allowed=()) is not None, address
        assert f" embeds {ipv4}, which is in " in (refusal(address, allowed=everything) or ""), address
        # Allowing it opens the address, unless its bits can be read as another one, too, by a prefix of another length.
        if "48 bits" not in form:
            assert refusal(address, allowed=(*everything, ip_network(ipv4))) is None, address


@pytest.mark.parametrize("form", EMBEDDINGS)
def test_an_allowed_prefix_of_a_translator_opens_the_public_addresses_behind_it(form: str) -> None:
    assert refusal(embed(form, "8.8.4.4"), allowed=parse_networks("::/0")) is None


@pytest.mark.parametrize("address", ["::", "::1"])
def test_the_addresses_of_the_machine_itself_carry_no_other(address: str) -> None:
    assert refusal(address, allowed=parse_networks("::/64")) is None


def test_a_refusal_names_the_address_and_its_network() -> None:
    assert (refusal("169.254.169.254", allowed=()) or "").startswith(
        "Blocked destination 169.254.169.254: it is in 169.254.0.0/16 (link-local"
    )


def test_what_is_no_address_is_refused() -> None:
    assert refusal("localhost", allowed=()) == "'localhost' is not an IP address."
    assert refusal("127.0.0.1%eth0", allowed=()) is not None


def test_an_address_with_a_zone_is_judged_without_it() -> None:
    assert refusal("fe80::1%eth0", allowed=()) is not None
    assert refusal("fe80::1%eth0", allowed=parse_networks("fe80::/10")) is None


@pytest.mark.parametrize("address", ["10.1.2.3", "::ffff:10.1.2.3"])
def test_an_allowed_network_wins_over_the_table(address: str) -> None:
    assert refusal(address, allowed=parse_networks("10.1.0.0/16")) is None
    assert refusal(address, allowed=parse_networks("10.2.0.0/16, fd00::/8")) is not None


def test_allowing_all_of_ipv6_allows_no_ipv4_in_disguise() -> None:
    assert refusal("::ffff:10.1.2.3", allowed=parse_networks("::/0")) is not None


def test_networks_are_read_from_a_comma_separated_list() -> None:
    networks = parse_networks(" 10.0.0.0/8,fd00::/8 ,, 192.168.1.7")
    assert networks == (ip_network("10.0.0.0/8"), ip_network("fd00::/8"), ip_network("192.168.1.7/32"))
    assert parse_networks("  ") == ()


@pytest.mark.parametrize("text", ["10.0.0.1/8", "10.0.0.0/33", "intranet", "10.0.0.0/8;fd00::/8"])
def test_what_is_no_network_is_named_in_the_error(text: str) -> None:
    with pytest.raises(ValueError, match="is not a network such as") as raised:
        parse_networks(f"10.0.0.0/8,{text}")
    assert repr(text) in str(raised.value)


@pytest.mark.parametrize("host", ODD_LOOPBACK)
def test_an_odd_spelling_is_judged_by_what_it_means(host: str) -> None:
    assert parse_target(f"http://{host}:8080/x").host == "127.0.0.1"
    assert "127.0.0.0/8 (loopback)" in (url_refusal(f"http://{host}:8080/x", egress=PUBLIC) or "")
    assert url_refusal(f"http://{host}:8080/x", egress=LOOPBACK) is None


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "localhost.", "a.b.localhost", "[::1]", "[::]", "0", "0x0"])
def test_names_and_addresses_of_the_machine_itself_are_refused(host: str) -> None:
    assert url_refusal(f"http://{host}:8080/", egress=PUBLIC) is not None


@pytest.mark.parametrize("allowed", ["127.0.0.0/8", "::1/128"])
def test_localhost_is_allowed_with_either_loopback(allowed: str) -> None:
    assert url_refusal("http://localhost:5000/", egress=EgressPolicy(parse_networks(allowed))) is None
    assert url_refusal("http://hooks.localhost.:5000/", egress=EgressPolicy(parse_networks(allowed))) is None


BAD_URLS = [
    "",
    "hooks",
    "//example.com/",
    "ftp://example.com/",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "http://",
    "http:///path",
    "http:example.com",
    "http://:80/",
    "http://user@example.com/",
    "http://user:password@example.com/",
    "http://example.com@127.0.0.1/",
    "http://@example.com/",
    "http://example.com\\@127.0.0.1/",
    "http://example.com\\.127.0.0.1/",
    "http://example.com/a\\b",
    "http://example.com:0/",
    "http://example.com:65536/",
    "http://example.com:http/",
    "http://example.com:-1/",
    "http://example.com:+80/",
    "http://example.com:８０/",  # noqa: RUF001 - such digits are the point
    "http://example.com:80:80/",
    "http://256.0.0.1/",
    "http://1.2.3.4.5/",
    "http://1.2.3.08/",
    "http://1.0xg.2.3/",
    "http://0x100000000/",
    "http://4294967296/",
    "http://a.1_0/b" + "\n",
    "http://[::1/",
    "http://[::1]evil.example/",
    "http://[v1.x]/",
    "http://[127.0.0.1]/",
    "http://[fe80::1%25eth0]/",
    "http://%31%32%37.0.0.1/",
    "http://exa mple.com/",
    "http://example.com/ a",
    "http://example.com/\r\nHost: x",
    "http://example.com/\t",
    "http://example.com/\x00",
    "http://example.com/\x7f",
    "http://example.com/\u2028",
    "http://example.com/\ud800",
    " http://example.com/",
    "http://-a.example/",
    "http://a..example/",
    "http://.example/",
    "http://" + "a" * 64 + ".example/",
    "http://" + "a." * 130 + "example/",
    "http://☃.é_/",
    "http://a\u2100b.example/",
    "http://example.com/" + "a" * LONGEST_URL,
]


@pytest.mark.parametrize("url", BAD_URLS)
def test_what_is_no_url_of_a_receiver_is_refused_with_a_sentence(url: str) -> None:
    with pytest.raises(ValueError, match=r"\.$"):
        parse_target(url)
    assert url_refusal(url, egress=LOOPBACK) is not None


def test_a_password_in_a_url_is_refused_without_being_repeated() -> None:
    refused = url_refusal("http://user:hunter2@example.com/", egress=PUBLIC)
    assert refused == "The URL must not contain a user name or password."


GOOD_URLS = {
    "https://example.com": "https://example.com:443/",
    "HTTPS://Example.COM:8443/A?b=C#frag": "https://example.com:8443/A?b=C",
    "http://example.com:/": "http://example.com:80/",
    "http://example.com?x=1": "http://example.com:80/?x=1",
    "http://my_host.example./": "http://my_host.example.:80/",
    "http://bücher.example/ü": "http://xn--bcher-kva.example:80/ü",
    "http://faß.example/": "http://xn--fa-hia.example:80/",
    "http://[2606:4700:0:0:0:0:0:1111]:8080/": "http://[2606:4700::1111]:8080/",
    "http://134744072/": "http://8.8.8.8:80/",
    "http://a.b-c.d1/": "http://a.b-c.d1:80/",
}


@pytest.mark.parametrize("url", GOOD_URLS)
def test_a_good_url_gets_one_spelling_and_keeps_it(url: str) -> None:
    target = parse_target(url)
    assert target.url == GOOD_URLS[url]
    assert parse_target(target.url) == target
    assert url_refusal(url, egress=PUBLIC) is None


@given(st.text(st.sampled_from("htp:/@[]%.0127xflocas#?\\ é-"), max_size=24))
def test_any_text_is_refused_or_has_one_spelling(rest: str) -> None:
    try:
        target = parse_target(f"http://{rest}")
    except ValueError:
        return
    assert parse_target(target.url) == target


@pytest.mark.parametrize("port", [22, 25, 1023, 2375, 2379, 3306, 5432, 5672, 6379, 9200, 11211, 27017])
def test_ports_of_databases_and_administration_are_refused(port: int) -> None:
    assert "Blocked port" in (url_refusal(f"http://example.com:{port}/", egress=PUBLIC) or "")
    assert "Blocked port" in (url_refusal(f"http://1.1.1.1:{port}/", egress=LOOPBACK) or "")
    assert "Blocked port" in (connection_refusal("1.1.1.1", port, egress=LOOPBACK) or "")


@pytest.mark.parametrize("port", [80, 443, 1024, 8000, 8443, 65535])
def test_ports_of_receivers_are_open(port: int) -> None:
    assert connection_refusal("1.1.1.1", port, egress=PUBLIC) is None


def test_the_ports_that_are_named_are_those_that_are_called() -> None:
    egress = EgressPolicy(ports=parse_ports("443, 5432"))
    assert url_refusal("https://example.com/", egress=egress) is None
    assert url_refusal("http://example.com:5432/", egress=egress) is None
    assert (url_refusal("http://example.com/", egress=egress) or "").startswith(
        "Blocked port 80: DULY_WEBHOOK_PORTS allows 443, 5432; "
    )


def test_in_an_allowed_network_every_port_is_open() -> None:
    egress = EgressPolicy(parse_networks("127.0.0.0/8"), parse_ports("443"))
    assert connection_refusal("127.0.0.1", 5432, egress=egress) is None
    assert url_refusal("http://127.1:5432/", egress=egress) is None


def test_the_port_of_a_name_waits_for_its_address_where_networks_are_allowed() -> None:
    assert url_refusal("http://intranet.example:5432/", egress=PUBLIC) is not None
    assert url_refusal("http://intranet.example:5432/", egress=LOOPBACK) is None
