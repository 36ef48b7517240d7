"""Signed links by which people send a signal: the job, the signal and the question, as text that needs no look-up.

The text is signed, not encrypted: those who have the link may read what it asks.
"""

import json
import struct
from collections.abc import Sequence
from typing import Final, NamedTuple, Self
from uuid import UUID

from duly.domain.base64url import read_base64url, write_base64url
from duly.domain.ids import id_of_bytes
from duly.domain.sealing import SIGNATURE_BYTES, Keyring
from duly.domain.steps import is_step_name

CONFIRM: Final = "confirm"
MOST_CHOICES, LONGEST_CHOICE, LONGEST_QUESTION, LONGEST_RECIPIENT = 10, 60, 300, 200
# Some mail programs break links with more than 2,000 characters.
LONGEST_TOKEN = 1_800
# Tenant, job, and the end in seconds since 1970.
_FACTS = struct.Struct(">I16sQ")
_PURPOSE = b"signal link "


class InvalidLink(ValueError):
    """Link that cannot be made of these values. The message names the value and the remedy."""


class SignalLink(NamedTuple):
    """Question to a person, whose answer is sent as a signal.

    Attributes:
        name: name of the signal.
        expires_at: end of the link, in seconds since 1970.
        choices: answers to choose from; without any, the question is only confirmed.
        comment: whether the person may add a comment.
        recipient: person that the link is for, recorded as the author of the answer.
    """

    tenant_id: int
    job_id: UUID
    name: str
    expires_at: int
    choices: Sequence[str] = ()
    question: str | None = None
    comment: bool = False
    recipient: str | None = None

    @property
    def answers(self) -> Sequence[str]:
        """Returns the answers to choose from."""
        return self.choices or (CONFIRM,)

    def checked(self) -> Self:
        """Returns the link.

        Raises:
            InvalidLink: one of its values is not allowed.
        """
        if not is_step_name(self.name):
            raise InvalidLink(f"{self.name!r} is not a name of a signal ([a-z0-9._-], 1 to 100 characters)")
        if len(self.choices) > MOST_CHOICES or len(set(self.choices)) < len(self.choices):
            raise InvalidLink(f"choices must be at most {MOST_CHOICES}, each another one, not {list(self.choices)!r}")
        for what, text, longest in (
            *(("a choice", choice, LONGEST_CHOICE) for choice in self.choices),
            ("question", self.question, LONGEST_QUESTION),
            ("recipient", self.recipient, LONGEST_RECIPIENT),
        ):
            if text is not None and not (text.strip() and text.isprintable() and len(text) <= longest):
                raise InvalidLink(f"{what} must be a line of 1 to {longest} characters, not {text!r}")
        return self


def write_link_token(link: SignalLink, keyring: Keyring) -> str:
    """Returns the token of a link, for its URL.

    Raises:
        InvalidLink: a value is not allowed, or all together are too long.
    """
    tenant_id, job_id, name, expires_at, *others = link.checked()
    texts = json.dumps([name, *others], ensure_ascii=False, separators=(",", ":")).encode()
    content = _FACTS.pack(tenant_id, job_id.bytes, expires_at) + texts
    token = write_base64url(keyring.sign(_PURPOSE + content) + content)
    if len(token) > LONGEST_TOKEN:
        raise InvalidLink("the question, choices and recipient are too long for a link; shorten them")
    return token


def read_link_token(text: str, keyring: Keyring) -> SignalLink | None:
    """Returns the link of a token; None for a text that `write_link_token` did not write."""
    raw = read_base64url(text, longest=LONGEST_TOKEN)
    if raw is None or len(raw) <= SIGNATURE_BYTES + _FACTS.size:
        return None
    content = raw[SIGNATURE_BYTES:]
    if not keyring.verify(_PURPOSE + content, raw[:SIGNATURE_BYTES]):
        return None
    tenant_id, job_id, expires_at = _FACTS.unpack_from(content)
    name, *others = json.loads(content[_FACTS.size :])
    return SignalLink(tenant_id, id_of_bytes(job_id), name, expires_at, *others)
