"""Callback URLs that are refused at submission."""

from collections.abc import Awaitable, Callable

from tests.support.response_checks import invalid_paths
from tests.support.service import Service

BAD_URLS = [
    "",
    " ",
    "x",
    "/relative",
    "//client.example.com/",
    "ftp://client.example.com/",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "http://",
    "http:///path",
    "https://client.example.com:0/",
    "https://client.example.com:65536/",
    "https://client.example.com:x/",
    "https://user:password@client.example.com/",
    "https://client.example.com/a b",
    "https://client.example.com/\r\nX: y",
    "https://exa mple.com/",
    "https://client.example.com:5432/",
    "https://client.example.com:22/",
    "https://" + "x" * 3000 + ".example.com/",
    "http://[::1",
    "http://localhost/",
    "http://LOCALHOST./",
    "http://a.localhost/",
    "http://127.1:5432",
    "http://127.1/",
    "http://127.0.0.1/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0177.0.0.1/",
    "http://①②⑦.0.0.1/",
    "http://0/",
    "http://10.0.0.1/",
    "http://172.16.0.1/",
    "http://192.168.1.1/",
    "http://169.254.169.254/latest/meta-data/",
    "http://[::1]/",
    "http://[::]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[fe80::1]/",
    "http://[fd00::1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://168.63.129.16/machine",
    "http://[100:0:0:1::1]/",
    "http://[2a00:1450::5efe:10.0.0.1]/",
    "http://224.0.0.1/",
    "http://255.255.255.255/",
]


async def test_a_callback_that_can_be_known_bad_is_refused_at_submission(
    start_service: Callable[..., Awaitable[Service]],
) -> None:
    service = await start_service(webhook_allow_networks=())
    for url in BAD_URLS:
        response = await service.client.post("/api/v1/jobs", json={"type": "echo", "callbackUrl": url})
        assert invalid_paths(response) == ["callbackUrl"], url

    assert await service.total("select count(*) from jobs") == 0


async def test_a_callback_into_a_network_that_is_allowed_is_taken(
    start_service: Callable[..., Awaitable[Service]],
) -> None:
    service = await start_service(webhook_allow_networks=("127.0.0.0/8", "fd00::/8"))
    for url in ("http://127.1:5432", "http://[fd00::1]:8080/hook", "https://client.example.com/hook?a=b"):
        await service.submit("echo", callbackUrl=url, runAt="2100-01-01T00:00:00Z")

    response = await service.client.post("/api/v1/jobs", json={"type": "echo", "callbackUrl": "http://10.0.0.1/"})
    assert invalid_paths(response) == ["callbackUrl"]
