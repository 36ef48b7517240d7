"""Session of the dashboard: a signed text in a cookie that names an API key, and never contains it.

The digest is the one under which verified keys are cached, so a request with the cookie is authenticated like one with
the key: a revoked or expired key, or another `DULY_API_KEY`, ends the session.
"""

import struct
from typing import Final, NamedTuple

from duly.domain.base64url import read_base64url, write_base64url
from duly.domain.sealing import SIGNATURE_BYTES, Keyring

SESSION_SECONDS: Final = 12 * 3600
LONGEST_TOKEN: Final = 400
_PURPOSE: Final = b"dashboard session "
# End in seconds since 1970, and the digest of the key.
_FACTS: Final = struct.Struct(">Q32s")


class DashboardSession(NamedTuple):
    """Session of a key.

    Attributes:
        digest: SHA-256 of the key's text.
        expires_at: end of the session, in seconds since 1970.
    """

    key_id: str
    digest: bytes
    expires_at: int


def write_session(session: DashboardSession, keyring: Keyring) -> str:
    """Returns the text of a session, signed by the first key of the ring."""
    content = _FACTS.pack(session.expires_at, session.digest) + session.key_id.encode()
    return write_base64url(keyring.sign(_PURPOSE + content) + content)


def read_session(text: str, keyring: Keyring, *, now: float) -> DashboardSession | None:
    """Returns the session of a text; None for a text that `write_session` did not write, and after its end."""
    raw = read_base64url(text, longest=LONGEST_TOKEN)
    if raw is None or len(raw) <= SIGNATURE_BYTES + _FACTS.size:
        return None
    content = raw[SIGNATURE_BYTES:]
    if not keyring.verify(_PURPOSE + content, raw[:SIGNATURE_BYTES]):
        return None
    expires_at, digest = _FACTS.unpack_from(content)
    if expires_at <= now:
        return None
    return DashboardSession(content[_FACTS.size :].decode(), digest, expires_at)
