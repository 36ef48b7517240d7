"""Orders with Django: submits in the transaction of a view, shows progress, and receives the webhook."""

import json
import os

import django
from django.conf import settings
from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from duly.client import Client, SignatureError, verify_webhook
from duly.transactional import submit

# A project has these in its settings.
settings.configure(
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["*"],
    DATABASES={"default": {"ENGINE": "django.db.backends.postgresql", **json.loads(os.environ["SHOP_DATABASE"])}},
)
django.setup()

SECRET, WEBHOOK = os.environ["WEBHOOK_SECRET"], os.environ["WEBHOOK_URL"]
duly = Client(os.environ["DULY_URL"])


@transaction.atomic
def short_order(request: HttpRequest, number: int) -> HttpResponse:
    connection.cursor().execute("insert into orders (number) values (%s)", [number])
    job_id = submit(connection, "echo", {"order": number})
    return JsonResponse({"jobId": job_id})


@csrf_exempt
@transaction.atomic
def order(request: HttpRequest, number: int) -> HttpResponse:
    with connection.cursor() as cursor:
        cursor.execute("insert into orders (number) values (%s)", [number])
    job_id = submit(connection, "echo", {"order": number}, callback_url=WEBHOOK, callback_secret=SECRET)
    return JsonResponse({"jobId": str(job_id)}, status=202)


def progress(request: HttpRequest, job_id: str) -> HttpResponse:
    job = duly.get(job_id)
    return JsonResponse({"status": job["status"], "progress": job["progress"]})


@csrf_exempt
def webhook(request: HttpRequest) -> HttpResponse:
    try:
        event = verify_webhook(request.headers, request.body, SECRET)
    except SignatureError:
        return HttpResponse(status=401)
    with connection.cursor() as cursor:
        cursor.execute("update orders set confirmed = true where number = %s", [event.body["result"]["order"]])
    return HttpResponse(status=204)


urlpatterns = [
    path("short-orders/<int:number>", csrf_exempt(short_order)),
    path("orders/<int:number>", order),
    path("progress/<job_id>", progress),
    path("webhooks/duly", webhook),
]
