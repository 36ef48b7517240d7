"""The dashboard's session: a cookie in place of a key, for the service's own pages."""

from collections.abc import Awaitable, Callable

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from duly.domain.dashboard_session import SESSION_SECONDS, DashboardSession, read_session, write_session
from duly.domain.sealing import Keyring, new_key
from tests.support.keys import OWN, bearer, make_key
from tests.support.response_checks import invalid_paths, refused
from tests.support.service import KEYRING, Service, eventually
from tests.support.websocket_client import socket_to

StartService = Callable[..., Awaitable[Service]]
OWN_PAGE = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture
async def keyed(start_service: StartService) -> Service:
    return await start_service(api_key=OWN)


async def sign_in(service: Service, key: str, **headers: str) -> httpx.Response:
    return await service.client.post("/ui/session", json={"key": key}, headers=headers)


def cookie_of(answer: httpx.Response) -> dict[str, str]:
    """Takes the cookie of an answer, and returns the header that sends it."""
    assert answer.status_code == 200, answer.text
    return {"Cookie": answer.headers["set-cookie"].partition(";")[0]}


async def session(service: Service, headers: dict[str, str]) -> dict[str, object]:
    service.client.cookies.clear()
    answer = await service.client.get("/ui/session", headers=OWN_PAGE | headers)
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    body: dict[str, object] = answer.json()
    return body


async def status(service: Service, headers: dict[str, str], method: str = "GET", path: str = "/api/v1/jobs") -> int:
    service.client.cookies.clear()
    return (await service.client.request(method, path, headers=headers)).status_code


async def test_a_key_signs_in_and_its_cookie_has_its_rights_and_not_its_text(
    keyed: Service, capfd: pytest.CaptureFixture[str]
) -> None:
    made = await make_key(keyed, "jobs:read", name="viewer")
    answer = await sign_in(keyed, made["key"])
    cookie = cookie_of(answer)
    attributes = answer.headers["set-cookie"].split("; ")[1:]
    assert attributes == ["Path=/", f"Max-Age={SESSION_SECONDS}", "HttpOnly", "SameSite=Strict"]
    assert answer.headers["cache-control"] == "no-store"
    body = await session(keyed, cookie)
    assert {name: body[name] for name in ("signedIn", "open", "tenant", "scopes", "keyId", "keyName")} == {
        "signedIn": True,
        "open": False,
        "tenant": "default",
        "scopes": ["jobs:read"],
        "keyId": made["keyId"],
        "keyName": "viewer",
    }
    assert await status(keyed, OWN_PAGE | cookie) == 200
    assert await status(keyed, OWN_PAGE | cookie, "GET", "/api/v1/keys") == 403
    secret = made["key"].rpartition("_")[2]
    assert secret not in answer.text + str(answer.headers) + keyed.written(capfd)


async def test_the_key_of_the_settings_signs_in_until_it_is_replaced(
    keyed: Service, start_service: StartService
) -> None:
    cookie = cookie_of(await sign_in(keyed, OWN))
    assert (await session(keyed, cookie))["keyId"] == "DULY_API_KEY"
    same = await start_service(api_key=OWN)
    assert await status(same, OWN_PAGE | cookie) == 200
    another = await start_service(api_key="another-long-and-secret-key")
    assert await status(another, OWN_PAGE | cookie) == 401
    assert (await session(another, cookie))["signedIn"] is False


FOREIGN = {
    "cross-site": {"Sec-Fetch-Site": "cross-site"},
    "same-site": {"Sec-Fetch-Site": "same-site"},
    "another origin": {"Origin": "https://evil.example"},
    "another port": {"Origin": "http://127.0.0.1:1"},
    "no origin": {"Origin": "null"},
}


@pytest.mark.parametrize("headers", FOREIGN.values(), ids=FOREIGN)
async def test_a_page_of_another_site_cannot_use_the_cookie(keyed: Service, headers: dict[str, str]) -> None:
    cookie = cookie_of(await sign_in(keyed, OWN))
    for method, path in (("GET", "/api/v1/jobs"), ("GET", "/api/v1/events/stream"), ("DELETE", "/api/v1/limits")):
        assert await status(keyed, headers | cookie, method, path) == 401, path
    answer = await keyed.client.get("/ui/session", headers=headers | cookie)
    assert answer.json()["signedIn"] is False
    refused(await sign_in(keyed, OWN, **headers), 403, "FORBIDDEN")
    answer = await keyed.client.delete("/ui/session", headers=headers)
    refused(answer, 403, "FORBIDDEN")


@pytest.mark.parametrize(
    ("method", "headers", "accepted"),
    [
        ("DELETE", OWN_PAGE, True),
        ("DELETE", {"Origin": "own"}, True),
        ("DELETE", {}, False),
        ("DELETE", {"Sec-Fetch-Site": "none"}, False),
        ("GET", {}, True),  # a browser without these headers, as over plain HTTP
        ("GET", {"Sec-Fetch-Site": "none"}, True),
    ],
)
async def test_a_change_needs_the_browsers_word_that_the_page_is_the_services_own(
    keyed: Service, method: str, headers: dict[str, str], accepted: bool
) -> None:
    sent = {name: keyed.url if value == "own" else value for name, value in headers.items()}
    cookie = cookie_of(await sign_in(keyed, OWN))
    found = await status(keyed, sent | cookie, method, "/api/v1/limits")
    assert (found in {200, 204}, found == 401) == (accepted, not accepted)


async def test_a_session_ends_with_its_key_on_every_node_and_in_open_streams(
    keyed: Service, start_service: StartService
) -> None:
    other = await start_service(api_key=OWN)
    made = await make_key(keyed, "jobs:read")
    cookie = cookie_of(await sign_in(keyed, made["key"]))
    async with other.client.stream("GET", "/api/v1/events/stream", headers=OWN_PAGE | cookie) as stream:
        assert stream.status_code == 200
        assert (await keyed.client.delete(f"/api/v1/keys/{made['keyId']}", headers=bearer(OWN))).status_code == 204
        async for _ in stream.aiter_bytes():
            pass  # until it is cut

    async def refused_everywhere() -> bool:
        return {await status(one, OWN_PAGE | cookie) for one in (keyed, other)} == {401}

    assert await eventually(refused_everywhere)
    answer = await keyed.client.get("/ui/session", headers=OWN_PAGE | cookie)
    assert answer.json()["signedIn"] is False
    assert "Max-Age=0" in answer.headers["set-cookie"]


async def test_a_session_is_renewed_in_its_second_half_only(keyed: Service) -> None:
    first = await sign_in(keyed, OWN)
    cookie = cookie_of(first)
    whole = read_session(cookie["Cookie"].partition("=")[2], KEYRING, now=0)
    assert whole is not None
    answer = await keyed.client.get("/ui/session", headers=OWN_PAGE | cookie)
    assert "set-cookie" not in answer.headers
    older = whole._replace(expires_at=whole.expires_at - SESSION_SECONDS // 2 - 60)
    keyed.client.cookies.clear()
    sent = {"Cookie": f"other=1; duly_session={write_session(older, KEYRING)}"}
    answer = await keyed.client.get("/ui/session", headers=OWN_PAGE | sent)
    renewed = read_session(cookie_of(answer)["Cookie"].partition("=")[2], KEYRING, now=0)
    assert renewed is not None
    assert renewed.expires_at - whole.expires_at in range(-1, 60)


async def test_a_cookie_of_another_keyring_and_one_that_has_expired_are_none(keyed: Service) -> None:
    digest = keyed.node.key_verifier.digest_of(OWN.encode())
    far = int(keyed.node.clock.seconds()) + 1000
    for value in (
        write_session(DashboardSession("DULY_API_KEY", digest, far), Keyring.read(new_key())),
        write_session(DashboardSession("DULY_API_KEY", digest, far - 2000), KEYRING),
        write_session(DashboardSession("DULY_API_KEY", bytes(32), far), KEYRING),
        "nonsense",
    ):
        cookie = {"Cookie": f"duly_session={value}"}
        assert await status(keyed, OWN_PAGE | cookie) == 401
        assert (await session(keyed, cookie))["signedIn"] is False


async def test_a_wrong_key_is_refused_and_repeated_nowhere(keyed: Service, capfd: pytest.CaptureFixture[str]) -> None:
    revoked = await make_key(keyed, "jobs:read")
    await keyed.client.delete(f"/api/v1/keys/{revoked['keyId']}", headers=bearer(OWN))
    for key in ("wrong-and-secret", "", f"{OWN}x", revoked["key"]):
        answer = await sign_in(keyed, key)
        refused(answer, 401, "UNAUTHORIZED")
        assert "set-cookie" not in answer.headers
        assert not key or key not in answer.text
    assert invalid_paths(await keyed.client.post("/ui/session", json={"kye": "wrong-and-secret"})) == ["key", "kye"]
    assert "wrong-and-secret" not in keyed.written(capfd)


async def test_the_cookie_is_for_https_only_where_the_page_is(keyed: Service) -> None:
    host = {"Host": "duly.example", "Origin": "https://duly.example"}
    assert (await sign_in(keyed, OWN, **host)).headers["set-cookie"].endswith("; SameSite=Strict; Secure")


async def test_signing_out_deletes_the_cookie(keyed: Service) -> None:
    answer = await keyed.client.delete("/ui/session", headers=OWN_PAGE)
    assert answer.status_code == 204
    assert answer.headers["set-cookie"].startswith("duly_session=; Path=/; Max-Age=0; HttpOnly")


async def test_a_key_goes_before_the_cookie_and_a_socket_takes_none(keyed: Service) -> None:
    made = await make_key(keyed, "jobs:read")
    cookie = cookie_of(await sign_in(keyed, made["key"]))
    assert await status(keyed, OWN_PAGE | cookie | bearer(OWN), "GET", "/api/v1/keys") == 200
    assert await status(keyed, OWN_PAGE | cookie | bearer("wrong")) == 401
    with pytest.raises(InvalidStatus) as socket:
        async with socket_to(keyed, additional_headers=OWN_PAGE | cookie):
            pass
    assert socket.value.response.status_code == 401


async def test_an_open_service_needs_no_session(service: Service) -> None:
    body = await session(service, {})
    assert (body["signedIn"], body["open"], body["tenant"], body["keyId"]) == (True, True, "default", None)
    assert "operator" in str(body["scopes"])
    refused(await sign_in(service, "any"), 401, "UNAUTHORIZED")
