"""The people and the mail scanner of the story. They have links and no API key."""

import email
import email.policy
import re
import time
import urllib.error
import urllib.parse
import urllib.request

from document_approval import mail

SECONDS = 120


def link_in_mail(address: str, package: str) -> str:
    """Returns the link in the mail to this address about a package, once it has arrived.

    Raises:
        SystemExit: no such mail has arrived in time.
    """
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        for file in mail.outbox().glob("*.eml"):
            message = email.message_from_bytes(file.read_bytes(), policy=email.policy.default)
            if message["To"] == address and f" {package} " in message["Subject"]:
                return str(re.findall(r"Answer here: (\S+)", message.get_content())[0])
        time.sleep(0.05)
    raise SystemExit(f"FAULT: no mail to {address} about {package} has arrived within {SECONDS} seconds")


def scan(link: str) -> int:
    """Opens a link as mail scanners do. Returns the status."""
    return _status(urllib.request.Request(link))


def answer(link: str, choice: str, comment: str = "") -> int:
    """Sends the form of the page. Returns the status."""
    form = urllib.parse.urlencode({"choice": choice, "comment": comment}).encode()
    return _status(urllib.request.Request(link, form))


def _status(request: urllib.request.Request) -> int:
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code
