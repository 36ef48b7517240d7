"""Check of the blocked networks: every block of IANA's special-purpose registries, and every known address of a
cloud's metadata service, is refused or allowed for a reason. `make check` runs it on the copies in the repository.

`python -m tests.check_networks --fetch` first replaces the copies with those of iana.org; then set `COPIED`.
"""

import csv
import re
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from hashlib import sha256
from ipaddress import ip_network
from pathlib import Path
from typing import NamedTuple

from duly.domain.egress_policy import refusal
from duly.domain.special_addresses import REFUSED_NETWORKS, Network

FOLDER = Path(__file__).parent / "support" / "iana"
# Of each registry the digest of the copy. IANA dates both of them 2025-10-09.
COPIED = {
    "iana-ipv4-special-registry": "e3e39e76d00b1677335db8e9a805c7b9480ea2f4dc9e33f0b93cd3a905128d73",
    "iana-ipv6-special-registry": "775feea0621dec8735a44fbf30f762e721e8f0a1b3ab7eb341961a88cfce2139",
}
SOURCE = "https://www.iana.org/assignments/{name}/{name}-1.csv"
# Blocks that the table does not refuse as a whole, each with the reason.
ALLOWED = {ip_network("::ffff:0:0/96"): "IPv4-mapped: judged by the IPv4 address inside"}
# Services inside a cloud, some of them on addresses that are in no registry.
AGENTS = {
    "AWS, Azure, Google, OpenStack and others, metadata": "169.254.169.254",
    "AWS, metadata by IPv6": "fd00:ec2::254",
    "AWS, credentials of containers": "169.254.170.2",
    "AWS, credentials of pods": "169.254.170.23",
    "AWS, credentials of pods by IPv6": "fd00:ec2::23",
    "AWS, name server": "169.254.169.253",
    "Alibaba, metadata": "100.100.100.200",
    "Azure, agent": "168.63.129.16",
    "Google, metadata by IPv6": "fd20:ce::254",
    "OpenStack, metadata by IPv6": "fe80::a9fe:a9fe",
    "Oracle, metadata of the classic cloud": "192.0.0.192",
    "Scaleway, metadata": "169.254.42.42",
    "Scaleway, metadata by IPv6": "fd00:42::42",
    "Tencent, metadata": "169.254.0.23",
}
_FOOTNOTE = re.compile(r"\s*\[\d+\]")
_FETCH_SECONDS = 30


class Block(NamedTuple):
    network: Network
    name: str


def read_registry(text: str) -> Iterator[Block]:
    """Yields the blocks of a registry in IANA's CSV: a cell may hold several, and marks of footnotes."""
    for row in csv.DictReader(text.splitlines()):
        for cell in (row["Address Block"] or "").split(","):
            yield Block(ip_network(_FOOTNOTE.sub("", cell).strip()), row["Name"] or "")


def uncovered(blocks: Iterator[Block], *, allowed: Mapping[Network, str]) -> list[Block]:
    """Returns the blocks of which at least one address is neither in a refused network nor allowed for a reason."""
    refused = [network for network, _ in REFUSED_NETWORKS]
    return [
        block
        for block in blocks
        if block.network not in allowed and not any(_within(block.network, network) for network in refused)
    ]


def _within(inner: Network, outer: Network) -> bool:
    return inner.version == outer.version and inner.subnet_of(outer)  # type: ignore[arg-type]  # of one version


def fetch(name: str) -> None:
    with urllib.request.urlopen(SOURCE.format(name=name), timeout=_FETCH_SECONDS) as answer:
        _copy(name).write_bytes(answer.read())


def _copy(name: str) -> Path:
    return FOLDER / f"{name}-1.csv"


def findings() -> Iterator[str]:
    for name, digest in COPIED.items():
        copy = _copy(name).read_bytes()
        if (found := sha256(copy).hexdigest()) != digest:
            yield f"{_copy(name).name} is not the copy that was checked: its SHA-256 is {found}"
        for block in uncovered(read_registry(copy.decode()), allowed=ALLOWED):
            yield f"{block.network} ({block.name}) is neither refused nor allowed for a reason"
    for agent, address in AGENTS.items():
        if refusal(address, allowed=()) is None:
            yield f"{address} ({agent}) is not refused"


def main() -> int:
    if "--fetch" in sys.argv[1:]:
        for name in COPIED:
            fetch(name)
    found = list(findings())
    for each in found:
        print(each)  # noqa: T201  # the answer of a check
    print(f"{len(found)} findings" if found else "every special-purpose network is refused, or allowed for a reason")  # noqa: T201
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
