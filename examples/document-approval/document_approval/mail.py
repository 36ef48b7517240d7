"""Mail of the application: one file for each message, in a folder that stands for a mail server."""

import os
from email.message import EmailMessage
from pathlib import Path

SENDER = "approvals@example.org"


def outbox() -> Path:
    return Path(os.environ["APPROVAL_FOLDER"], "outbox")


def send(to: str, subject: str, text: str, *, token: str) -> None:
    """Sends a message once: `token` is its ID, and the same token replaces the message."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"], message["Message-ID"] = (
        SENDER,
        to,
        subject,
        f"<{token}@example.org>",
    )
    message.set_content(text)
    outbox().mkdir(parents=True, exist_ok=True)
    part = outbox() / f"{token}.part"
    part.write_bytes(bytes(message))
    part.replace(part.with_suffix(".eml"))
