"""Ids of leases: the attempt that a worker over HTTP holds, as signed text.

A signed id needs no look-up to be verified, on any node, also long after the attempt has ended. It cannot be guessed by
those who know the job, and names the tenant, so that another tenant's id is an unknown one.
"""

import struct
from typing import NamedTuple, Self
from uuid import UUID

from duly.domain.base64url import read_base64url, write_base64url
from duly.domain.ids import id_of_bytes
from duly.domain.job import ClaimedJob, Mark
from duly.domain.sealing import SIGNATURE_BYTES, Keyring

_FACTS = struct.Struct(">I16sIHH")
# Bit of the number of attempts, which is at most 1000: the job is held once they are exhausted.
_HOLDS = 0x8000
_PURPOSE = b"lease "
_SEPARATOR = b"\0"  # no name of a type has it
LONGEST_ID = 512


class Lease(NamedTuple):
    """Leased attempt, as its id names it. `token` is its lease token; `trace`: its trace, if that is sampled."""

    tenant_id: int
    job_id: UUID
    token: int
    attempt: int
    max_attempts: int
    type: str
    holds: bool = False
    trace: bytes = b""

    @classmethod
    def of(cls, claimed: ClaimedJob, *, trace: bytes = b"") -> Self:
        """Returns the lease of a claimed job."""
        return cls(
            claimed.tenant_id,
            claimed.job_id,
            claimed.token,
            claimed.attempt,
            claimed.max_attempts,
            claimed.type,
            bool(claimed.marks & Mark.HOLDS),
            trace,
        )


def write_lease_id(lease: Lease, keyring: Keyring) -> str:
    """Returns the id of a lease."""
    tenant_id, job_id, token, attempt, max_attempts, type_, holds, trace = lease
    content = _FACTS.pack(tenant_id, job_id.bytes, token, attempt, max_attempts | _HOLDS * holds) + type_.encode()
    if trace:
        content += _SEPARATOR + trace
    return write_base64url(keyring.sign(_PURPOSE + content) + content)


def read_lease_id(text: str, keyring: Keyring, *, tenant_id: int) -> Lease | None:
    """Returns the lease of an id; None for a text that is not an id of this tenant. Takes 2 microseconds."""
    raw = read_base64url(text, longest=LONGEST_ID)
    if raw is None or len(raw) <= SIGNATURE_BYTES + _FACTS.size:
        return None
    content = raw[SIGNATURE_BYTES:]
    if not keyring.verify(_PURPOSE + content, raw[:SIGNATURE_BYTES]):
        return None
    tenant, job_id, token, attempt, max_attempts = _FACTS.unpack_from(content)
    if tenant != tenant_id:
        return None
    type_, _, trace = content[_FACTS.size :].partition(_SEPARATOR)
    holds = bool(max_attempts & _HOLDS)
    return Lease(tenant, id_of_bytes(job_id), token, attempt, max_attempts & ~_HOLDS, type_.decode(), holds, trace)
