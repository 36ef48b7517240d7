"""Receivers of callbacks: those that share one share a lane and a circuit."""

from uuid import UUID

import pytest

from duly.domain.egress_policy import LONGEST_URL
from duly.store.ledger.outbox import LANES_OF_A_HOST, callback_receiver
from tests.support.reused_connections import asking

RECEIVER = callback_receiver(tenant="$1::int", url="u.url")
RECEIVERS = f"select {RECEIVER} from unnest($2::text[]) with ordinality u(url, n) order by n"  # noqa: S608  # the service's own
HOST = "https://client.example.com"


async def receivers(database_url: str, *urls: str, tenant_id: int = 1) -> list[UUID]:
    async with asking(database_url) as connection:
        return [row[0] for row in await connection.fetch(RECEIVERS, tenant_id, list(urls))]


ONE_RECEIVER = {
    "ids as UUIDs": ("/hooks/0199c1f0-aaaa-7000-8000-000000000001", "/hooks/0199c1f0-bbbb-7000-8000-000000000002"),
    "numbers": ("/hooks/17", "/hooks/23456"),
    "ids within": ("/tenants/4711/jobs/ab12cd34ef/done", "/tenants/50/jobs/ff00ff00ff/done"),
    "ids of other alphabets": ("/cb/01HZXK6V7Q8R9S0T1V2W3X4Y5Z", "/cb/V1StGXR8_Z5jdHi6B-myT"),
    "the query": ("/hooks?job=1", "/hooks?job=2"),
    "the fragment": ("/hooks", "/hooks#x"),
    "what follows four segments": ("/a/b/c/d/e", "/a/b/c/d/f/g"),
    "a host of another case": ("/hooks", "/hooks"),
}


@pytest.mark.parametrize("paths", ONE_RECEIVER.values(), ids=list(ONE_RECEIVER))
async def test_callbacks_that_differ_in_an_id_share_a_receiver(empty_database_url: str, paths: tuple[str, str]) -> None:
    first, second = await receivers(empty_database_url, HOST + paths[0], HOST.replace("client", "Client") + paths[1])
    assert first == second


TWO_RECEIVERS = {
    "another path": (HOST + "/good", HOST + "/bad"),
    "no path": (HOST, HOST + "/bad"),
    "another segment": (HOST + "/tenants/1/good", HOST + "/tenants/1/bad"),
    "another fourth segment": (HOST + "/a/b/c/d", HOST + "/a/b/c/e"),
    "another version": (HOST + "/api/v1/hooks", HOST + "/api/v2/hooks"),
    "a path of another case": (HOST + "/hooks", HOST + "/Hooks"),
    "another host": (HOST + "/hooks", "https://other.example.com/hooks"),
    "another port": (HOST + "/hooks", HOST + ":8443/hooks"),
    "another scheme": (HOST + "/hooks", HOST.replace("https", "http") + "/hooks"),
}


@pytest.mark.parametrize("urls", TWO_RECEIVERS.values(), ids=list(TWO_RECEIVERS))
async def test_callbacks_to_other_places_have_a_receiver_each(empty_database_url: str, urls: tuple[str, str]) -> None:
    first, second = await receivers(empty_database_url, *urls)
    assert first != second


# Nodes of earlier releases write these receivers too.
EARLIER_RECEIVERS = r"""
select md5(
    $1::int || ' ' || lower(substring(u.url from '^[^:]+://[^/?#]+')) || ' '
    || ('x' || left(md5(regexp_replace(
        substring(u.url from '^[^:]+://[^/?#]+((?:/[^/?#]*)?(?:/[^/?#]*)?(?:/[^/?#]*)?(?:/[^/?#]*)?)'),
        '/[^/]*[0-9][^/]*[0-9][^/]*', '/*', 'g')), 4))::bit(16)::int % 64
)::uuid
from unnest($2::text[]) with ordinality u(url, n) order by n
"""
ENDINGS = (
    "",
    "/",
    "//",
    "?a=/b/c",
    "#/b",
    "/?",
    "/#?/x",
    "/a1/b22",
    "/a/22/b/333?c=1#d",
    "/1/2/3/4/5",
    "/a/b/c/",
    "//a//44",
)


async def test_a_url_has_the_receiver_of_earlier_releases(empty_database_url: str) -> None:
    hosts = ("http://h", "https://Host.example.com:8443", "http://user:pw@127.0.0.1:1", "http://[::1]:80")
    urls = [host + ending for host in hosts for ending in ENDINGS]
    async with asking(empty_database_url) as connection:
        earlier = [row[0] for row in await connection.fetch(EARLIER_RECEIVERS, 1, urls)]
    assert await receivers(empty_database_url, *urls) == earlier


async def test_a_receiver_is_one_tenants_alone(empty_database_url: str) -> None:
    assert await receivers(empty_database_url, HOST) != await receivers(empty_database_url, HOST, tenant_id=2)


async def test_however_many_paths_are_chosen_a_host_has_few_receivers(empty_database_url: str) -> None:
    words = [f"{HOST}/{chr(97 + n % 26)}{chr(97 + n // 26 % 26)}/{n % 7}x" for n in range(5_000)]
    assert len(set(await receivers(empty_database_url, *words))) == LANES_OF_A_HOST


@pytest.mark.parametrize(
    "path", ["/" * 2_000, "/" + "a" * 2_000, "/1a" * 600, "/" + "1" * 2_000, "/a" * 4 + "9" * 1_900]
)
async def test_the_longest_url_costs_little(empty_database_url: str, path: str) -> None:
    urls = [(HOST + path)[:LONGEST_URL]] * 1_000
    async with asking(empty_database_url) as connection, connection.transaction():
        await connection.execute("set local statement_timeout = '10s'")  # 10 ms each; it takes a hundredth
        assert len(await connection.fetch(RECEIVERS, 1, urls)) == 1_000
