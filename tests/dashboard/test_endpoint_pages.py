"""The views of endpoints and of deliveries, and every action on them."""

from typing import Any

from tests.support.dashboard import Dashboard
from tests.support.dashboard_checks import MARKUP, confirm, is_usable, shows_as_text
from tests.support.endpoints import WEBHOOKS, register, until_all_are
from tests.support.service import Service
from tests.support.webhook_receiver import Receiver


async def read(service: Service, webhook_id: str) -> dict[str, Any]:
    found: dict[str, Any] = (await service.client.get(f"{WEBHOOKS}/{webhook_id}")).json()
    return found


async def remove(service: Service, dashboard: Dashboard, webhook_id: str) -> None:
    """Leaves the view of an endpoint, which would go on to read it, and deletes the endpoint."""
    await dashboard.browser.open("about:blank")
    await service.client.delete(f"{WEBHOOKS}/{webhook_id}")


async def failed_delivery(service: Service, receiver: Receiver, webhook_id: str) -> str:
    """Returns the id of a failed delivery, which is not tried again."""
    receiver.statuses, receiver.answer_headers = [400], {"webhook-delivery": "abort-message"}
    await service.run("echo")
    (delivery,) = await until_all_are(service, webhook_id, "failed", number=1)
    return str(delivery["deliveryId"])


async def test_the_list_shows_how_endpoints_are_doing(
    contract: Service, dashboard: Dashboard, receiver: Receiver
) -> None:
    webhook_id = await register(contract, receiver.url, description="orders")
    await dashboard.open("/ui/endpoints")
    await dashboard.shows(receiver.url, "orders", "enabled", "none yet")
    await contract.run("echo")
    await until_all_are(contract, webhook_id, "delivered", number=1)
    await dashboard.open("/ui/endpoints")
    await dashboard.shows("100 % of 1 delivered")
    await is_usable(dashboard, "endpoints")
    await remove(contract, dashboard, webhook_id)


async def test_an_endpoint_is_created_and_its_secret_shown_once(
    contract: Service, dashboard: Dashboard, receiver: Receiver
) -> None:
    await dashboard.open("/ui/endpoints")
    await dashboard.press("Create an endpoint")
    await dashboard.fill("URL", "http://10.0.0.1/hook")
    await dashboard.fill("Headers", "[]")
    await dashboard.press("Create", exact=True)
    await dashboard.shows("must be a JSON object")
    await dashboard.fill("Headers", '{"X-Token": "secret-of-a-receiver"}')
    await dashboard.press("Create", exact=True)
    await dashboard.browser.until("return document.querySelector('dialog .field.invalid label')?.innerText === 'URL'")
    assert await dashboard.axe() == []
    assert len(await dashboard.console_errors()) == 1  # the 422
    await dashboard.fill("URL", receiver.url)
    await dashboard.press("Create", exact=True)
    await dashboard.shows("It is shown only this once.")
    secret = await dashboard.run("return document.querySelector('dialog input').value")
    assert secret.startswith("whsec_")
    assert await dashboard.axe() == []
    await dashboard.press("I have stored it")
    await dashboard.shows("X-Token", "Send test")
    webhook_id = (await dashboard.run("return location.pathname")).rpartition("/")[2]
    found = await read(contract, webhook_id)
    assert (found["url"], found["headerNames"], found["events"]) == (receiver.url, ["X-Token"], ["*"])
    kept = await dashboard.run(
        "return document.documentElement.outerHTML + JSON.stringify([localStorage, sessionStorage])"
    )
    assert secret not in kept and "secret-of-a-receiver" not in kept
    await dashboard.press("Send test")
    (await receiver.next()).verify(secret)
    await dashboard.shows("webhook.test", "delivered")
    await remove(contract, dashboard, webhook_id)


async def test_an_endpoint_is_changed_paused_disabled_enabled_and_deleted(
    contract: Service, dashboard: Dashboard, receiver: Receiver
) -> None:
    webhook_id = await register(contract, receiver.url, headers={"X-Kept": "1"}, labels={"a": "b"})
    await dashboard.open(f"/ui/endpoints/{webhook_id}")
    await dashboard.press("Change")
    await dashboard.fill("Description", "changed here")
    await dashboard.fill("job.failed", "true")
    await dashboard.press("Save")
    await dashboard.shows_each("Endpoint changed.", "changed here", "job.completed, job.failed", "X-Kept", "a: b")
    for action, done, status in (
        ("Pause", "paused", "paused"),
        ("Resume", "resumed", "enabled"),
        ("Disable", "disabled", "disabled"),
        ("Enable", "enabled", "enabled"),
    ):
        await dashboard.press(action, exact=True)
        await confirm(dashboard, action)
        await dashboard.shows(f"Endpoint {done}.")
        assert (await read(contract, webhook_id))["status"] == status
    await dashboard.press("Delete")
    await confirm(dashboard, "Delete")
    await dashboard.shows_each("Endpoint deleted.", "All endpoints")
    assert (await contract.client.get(f"{WEBHOOKS}/{webhook_id}")).status_code == 404
    await dashboard.console_errors(besides=["404"])


async def test_the_secret_is_rotated_after_a_question(
    contract: Service, dashboard: Dashboard, receiver: Receiver
) -> None:
    webhook_id = await register(contract, receiver.url)
    await dashboard.open(f"/ui/endpoints/{webhook_id}")
    await dashboard.press("Rotate secret")
    await dashboard.answer("Rotate secret")
    await dashboard.shows("It is shown only this once.")
    secret = await dashboard.run("return document.querySelector('dialog input').value")
    await confirm(dashboard, "I have stored it")
    await dashboard.shows("Previous secret signs until")
    await dashboard.press("Send test")
    (await receiver.next()).verify(secret)
    await remove(contract, dashboard, webhook_id)


async def test_failed_deliveries_are_replayed_with_their_progress(
    contract: Service, dashboard: Dashboard, receiver: Receiver
) -> None:
    webhook_id = await register(contract, receiver.url)
    await failed_delivery(contract, receiver, webhook_id)
    receiver.statuses, receiver.answer_headers = [204], {}
    await dashboard.open(f"/ui/endpoints/{webhook_id}")
    await dashboard.press("Replay")
    await dashboard.press("Start replay")
    await dashboard.shows("must be a date and a time")
    await dashboard.fill("Failed since", "2026-01-01T00:00:00")
    await confirm(dashboard, "Start replay")
    await dashboard.shows("Replays", "completed", "1 delivery")
    await until_all_are(contract, webhook_id, "delivered", number=1)
    await dashboard.shows("100 %")
    await is_usable(dashboard, "endpoint")
    await remove(contract, dashboard, webhook_id)


async def test_a_delivery_shows_every_attempt_and_is_sent_again(
    contract: Service, dashboard: Dashboard, receiver: Receiver
) -> None:
    receiver.answer_body = MARKUP.encode()
    webhook_id = await register(contract, receiver.url, description=MARKUP, labels={})
    delivery_id = await failed_delivery(contract, receiver, webhook_id)
    await dashboard.open(f"/ui/endpoints/{webhook_id}")
    await shows_as_text(dashboard, MARKUP)
    await dashboard.fill("Status", "delivered")
    await dashboard.shows("No such delivery.")
    await dashboard.fill("Status", "failed")
    await dashboard.shows("job.completed", "400")
    await dashboard.press("ago", role="link")
    await dashboard.shows("Attempt 1", "400")
    await shows_as_text(dashboard, MARKUP)
    receiver.statuses, receiver.answer_headers = [200], {}
    await dashboard.press("Redeliver")
    await confirm(dashboard, "Redeliver")
    await dashboard.shows_each("The delivery is sent again.", "Attempt 2", "delivered")
    delivery = (await contract.client.get(f"/api/v1/deliveries/{delivery_id}")).json()
    assert [each["statusCode"] for each in delivery["attempts"]] == [400, 200]
    await is_usable(dashboard, "delivery")
    await remove(contract, dashboard, webhook_id)


async def test_markup_in_every_field_of_an_endpoint_stays_text(
    contract: Service, dashboard: Dashboard, receiver: Receiver
) -> None:
    markup = "<img src=x onerror='window.attacked=1'>"
    url = f"{receiver.url}?{markup.replace(' ', '%20')}"
    answer = await contract.client.post(
        WEBHOOKS, json={"url": url, "events": ["*"], "description": markup, "labels": {"markup": markup}}
    )
    assert answer.status_code == 201, answer.text
    webhook_id = answer.json()["webhookId"]
    await contract.sql(
        "update receivers set failures = 9, failing_since = now(), state = 1, probe_at = now() + interval '1 hour',"
        " last_error = $2 where receiver_id = $1::text::uuid",
        webhook_id,
        markup,
    )
    for path in ("/ui/endpoints", f"/ui/endpoints/{webhook_id}"):
        await dashboard.open(path)
        await shows_as_text(dashboard, url, markup)
        await dashboard.shows("open")
    await dashboard.press("Change")
    await shows_as_text(dashboard, url, f'{{"markup":"{markup}"}}')
    await remove(contract, dashboard, webhook_id)


async def test_an_unknown_delivery_is_said_to_be_unknown(dashboard: Dashboard) -> None:
    await dashboard.open("/ui/deliveries/0199c1f0-0000-7000-8000-000000000000")
    await dashboard.shows("Delivery not found.")
    await dashboard.browser.open("about:blank")
    assert all("404" in line for line in await dashboard.console_errors())
