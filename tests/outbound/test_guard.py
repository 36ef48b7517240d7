"""Destinations that the guarded client allows and blocks, on real sockets of this machine."""

import asyncio
import socket

import pytest

from duly.domain.egress_policy import PUBLIC, EgressPolicy, parse_networks
from duly.domain.egress_ports import parse_ports
from duly.outbound import RESPONSE_LIMIT, OutboundClient, url_refusal
from duly.outbound import resolver as addresses_of_names
from duly.outbound.resolver import AddressInfo, guarded_socket
from tests.support.blocked_networks import EDGES, NEIGHBOURS
from tests.support.raw_receiver import (
    EMPTY,
    HEADERS,
    LOOPBACK,
    FakeLookup,
    address_info,
    answers,
    answers_and_closes,
    failure,
    receiver,
)

SPELLINGS = ["127.0.0.1", "127.1", "0x7f000001", "0x7f.1", "2130706433", "017700000001", "0", "0.0.0.0", "127.0.0.1."]
SPELLINGS += ["[::ffff:127.0.0.1]", "[::1]", "[::]", "[::127.0.0.1]", "[64:ff9b::127.0.0.1]", "localhost", "localhost."]
SPELLINGS += ["a.localhost", "LOCALHOST", "１２７.0.0.1", "user:word@127.0.0.1", "127.0.0.1%00.example"]  # noqa: RUF001 - such digits are the point


async def test_no_spelling_of_this_machine_reaches_it_unless_allowed() -> None:
    async with receiver(answers(EMPTY)) as sink:
        async with OutboundClient(total_seconds=60) as client:
            for host in SPELLINGS:
                error = await failure(client, f"http://{host}:{sink.port}/")
                assert error.code in {"BLOCKED_ADDRESS", "INVALID_URL"}, host
        # Connections are accepted in their order, so none came before this one.
        async with OutboundClient(egress=LOOPBACK, total_seconds=60) as client:
            assert (await client.post(f"http://127.1:{sink.port}/", content=b"", headers={})).status == 204
        assert sink.connections == 1


@pytest.mark.parametrize("address", [address for edge in EDGES for address in edge])
async def test_every_refused_network_is_refused_as_an_address_and_behind_a_name(address: str) -> None:
    """Checks that nothing is sent: no socket is created, and the name is looked up once."""
    literal = f"[{address}]" if ":" in address else address
    lookup = FakeLookup([address])
    async with OutboundClient(lookup=lookup, total_seconds=60) as client:
        assert url_refusal(f"http://{literal}/", egress=PUBLIC) is not None
        assert (await failure(client, f"http://{literal}/")).code == "BLOCKED_ADDRESS"
        assert lookup.asked == []
        assert (await failure(client, "https://hooks.example/")).code == "BLOCKED_ADDRESS"
    assert lookup.asked == ["hooks.example"]
    with pytest.raises(OSError, match="DULY_WEBHOOK_ALLOW_NETWORKS"):
        guarded_socket(address_info(address, 443), egress=PUBLIC)


@pytest.mark.parametrize("address", NEIGHBOURS)
async def test_an_address_beside_a_refused_network_is_not_refused(address: str) -> None:
    assert url_refusal(f"http://{f'[{address}]' if ':' in address else address}/", egress=PUBLIC) is None
    guarded_socket(address_info(address, 443), egress=PUBLIC).close()


async def test_only_the_ports_that_are_named_are_called() -> None:
    https_only = EgressPolicy(ports=parse_ports("443"))
    async with OutboundClient(egress=https_only, lookup=FakeLookup(["1.1.1.1"])) as client:
        for url in ("http://1.1.1.1/", "http://hooks.example/", "https://hooks.example:8443/"):
            assert url_refusal(url, egress=https_only) is not None
            assert (await failure(client, url)).code == "BLOCKED_ADDRESS"
        assert url_refusal("https://hooks.example/", egress=https_only) is None


async def test_the_port_of_a_name_is_checked_with_its_address() -> None:
    """Checks that with allowed networks, the port is judged only after the lookup."""
    lookup = FakeLookup(["1.1.1.1"])
    async with OutboundClient(egress=LOOPBACK, lookup=lookup) as client:
        assert url_refusal("http://hooks.example:5432/", egress=LOOPBACK) is None
        error = await failure(client, "http://hooks.example:5432/")
    assert (error.code, "Blocked port 5432" in str(error), lookup.asked) == ("BLOCKED_ADDRESS", True, ["hooks.example"])


@pytest.mark.parametrize("addresses", [["127.0.0.2"], ["127.0.0.1", "127.0.0.2"], ["127.0.0.1", "fd00::1"], ["::1"]])
async def test_a_name_is_refused_if_any_of_its_addresses_is(addresses: list[str]) -> None:
    async with receiver(answers(EMPTY)) as sink:
        lookup = FakeLookup(addresses)
        egress = EgressPolicy(parse_networks("127.0.0.1/32"))
        async with OutboundClient(egress=egress, lookup=lookup, total_seconds=60) as client:
            error = await failure(client, f"http://hooks.example:{sink.port}/secret-path")
        assert error.code == "BLOCKED_ADDRESS"
        assert "DULY_WEBHOOK_ALLOW_NETWORKS" in str(error)
        assert "secret-path" not in str(error)
        assert (lookup.asked, sink.connections) == (["hooks.example"], 0)


async def test_a_name_that_changes_its_address_is_connected_to_where_it_was_checked() -> None:
    async with receiver(answers(EMPTY)) as here, receiver(answers(EMPTY), host="127.0.0.2", port=here.port) as inside:
        lookup = FakeLookup(["127.0.0.1"], ["127.0.0.2"])
        egress = EgressPolicy(parse_networks("127.0.0.1/32"))
        async with OutboundClient(egress=egress, lookup=lookup, total_seconds=60) as client:
            answer = await client.post(f"http://hooks.example:{here.port}/", content=b"{}", headers=HEADERS)
        assert (answer.status, lookup.asked) == (204, ["hooks.example"])
        assert f"host: hooks.example:{here.port}\r\n" in here.heads[0].lower()
        assert (here.connections, inside.connections) == (1, 0)


async def test_a_name_that_leads_inside_when_it_is_looked_up_again_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses_of_names, "_MEMORY_SECONDS", 0)
    closing = answers_and_closes(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
    async with receiver(closing) as here, receiver(answers(EMPTY), host="127.0.0.2", port=here.port) as inside:
        lookup = FakeLookup(["127.0.0.1"], ["127.0.0.2"])
        egress = EgressPolicy(parse_networks("127.0.0.1/32"))
        async with OutboundClient(egress=egress, lookup=lookup, total_seconds=60) as client:
            url = f"http://hooks.example:{here.port}/"
            assert (await client.post(url, content=b"{}", headers=HEADERS)).status == 204
            assert (await failure(client, url)).code == "BLOCKED_ADDRESS"
        assert (len(lookup.asked), here.connections, inside.connections) == (2, 1, 0)


async def test_an_address_that_changes_after_its_check_is_refused_at_the_socket() -> None:
    async with receiver(answers_and_closes(EMPTY)) as here:
        found = [address_info("127.0.0.1", here.port)]

        class RememberingLookup(FakeLookup):
            async def resolve(self, host: str, port: int) -> list[AddressInfo]:
                self.asked.append(host)
                return found

        lookup = RememberingLookup()
        egress = EgressPolicy(parse_networks("127.0.0.1/32"))
        async with OutboundClient(egress=egress, lookup=lookup, total_seconds=60) as client:
            url = f"http://hooks.example:{here.port}/"
            assert (await client.post(url, content=b"{}", headers=HEADERS)).status == 204
            await asyncio.wait_for(here.closed.wait(), 60)
            found[0] = address_info("127.0.0.2", here.port)
            error = await failure(client, url)
        assert (error.code, "127.0.0.2: it is in 127.0.0.0/8" in str(error)) == ("BLOCKED_ADDRESS", True)
        assert lookup.asked == ["hooks.example"]


def test_no_socket_is_made_for_a_refused_address() -> None:
    tcp = (socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
    with pytest.raises(OSError, match="loopback"):
        guarded_socket((socket.AF_INET, *tcp, ("127.0.0.1", 80)), egress=PUBLIC)
    with pytest.raises(OSError, match="private"):
        guarded_socket((socket.AF_INET6, *tcp, ("::ffff:10.0.0.1", 80, 0, 0)), egress=LOOPBACK)
    with pytest.raises(OSError, match="Blocked port 5432"):
        guarded_socket((socket.AF_INET, *tcp, ("1.1.1.1", 5432)), egress=LOOPBACK)
    with guarded_socket((socket.AF_INET, *tcp, ("127.0.0.1", 5432)), egress=LOOPBACK) as made:
        # Linux doubles the requested size.
        assert made.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) <= RESPONSE_LIMIT


async def test_localhost_is_reached_where_only_one_of_its_addresses_is_allowed() -> None:
    async with receiver(answers(EMPTY)) as here:
        lookup = FakeLookup(["::1", "127.0.0.1"])
        async with OutboundClient(egress=LOOPBACK, lookup=lookup, total_seconds=60) as client:
            answer = await client.post(f"http://localhost:{here.port}/", content=b"{}", headers=HEADERS)
        assert answer.status == 204


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_an_answer_and_is_not_followed(status: int) -> None:
    async with receiver(answers(EMPTY)) as sink:
        away = f"HTTP/1.1 {status} Away\r\nLocation: http://127.0.0.1:{sink.port}/\r\nContent-Length: 0\r\n\r\n"
        async with receiver(answers(away.encode())) as here, OutboundClient(egress=LOOPBACK) as client:
            answer = await client.post(f"http://127.0.0.1:{here.port}/", content=b"{}", headers=HEADERS)
            assert answer.status == status
            assert answer.headers["location"].endswith(f":{sink.port}/")
            assert (await client.post(f"http://127.0.0.1:{sink.port}/", content=b"", headers={})).status == 204
        assert sink.connections == 1


@pytest.mark.parametrize("url", ["", "ftp://1.1.1.1/", "http://user:word@1.1.1.1/", "http://1.1.1.1:0/", "http://a b/"])
async def test_what_is_no_url_is_said_to_be_none(url: str) -> None:
    async with OutboundClient() as client:
        error = await failure(client, url)
    assert (error.code, "word@" in str(error)) == ("INVALID_URL", False)


async def test_a_proxy_in_the_environment_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    async with receiver(answers(EMPTY)) as proxy, receiver(answers(EMPTY)) as here:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        async with OutboundClient(egress=LOOPBACK) as client:
            answer = await client.post(f"http://127.0.0.1:{here.port}/", content=b"{}", headers=HEADERS)
        assert (answer.status, here.connections, proxy.connections) == (204, 1, 0)
