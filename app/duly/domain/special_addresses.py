"""Special-purpose addresses: networks that are refused as destinations, and IPv4 addresses embedded in
IPv6 ones.

`tests/check_networks.py` compares the table with the registries of IANA.
"""

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# The special-purpose registries of both families (RFC 6890 and its updates), including entries called globally
# reachable, which are anycast services of networks; then multicast, agents of clouds on addresses that look public,
# and all of IPv6 that is not global unicast. The first match gives the meaning.
# `ipaddress.is_global` cannot replace the table: it is true for multicast, NAT64, 6to4 and ::127.0.0.1.
REFUSED_NETWORKS: Final[tuple[tuple[Network, str], ...]] = tuple(
    (ip_network(network), meaning)
    for network, meaning in (
        ("0.0.0.0/8", "this network"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "carrier-grade NAT"),
        ("127.0.0.0/8", "loopback"),
        ("168.63.129.16/32", "the agent and metadata of Azure"),
        ("169.254.0.0/16", "link-local and cloud metadata"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "protocol assignments"),
        ("192.0.2.0/24", "documentation"),
        ("192.31.196.0/24", "AS112 name servers"),
        ("192.52.193.0/24", "multicast tunnels"),
        ("192.88.99.0/24", "6to4 relays"),
        ("192.168.0.0/16", "private"),
        ("192.175.48.0/24", "AS112 name servers"),
        ("198.18.0.0/15", "benchmarking"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
        ("::1/128", "loopback"),
        ("::/96", "unspecified and IPv4-compatible"),
        ("::ffff:0:0:0/96", "IPv4-translated"),
        ("64:ff9b::/96", "NAT64"),
        ("64:ff9b:1::/48", "local NAT64"),
        ("100::/64", "discard-only"),
        ("100:0:0:1::/64", "dummy prefix"),
        ("2001::/23", "protocol assignments"),
        ("2001:db8::/32", "documentation"),
        ("2002::/16", "6to4"),
        ("2620:4f:8000::/48", "AS112 name servers"),
        ("3fff::/20", "documentation"),
        ("5f00::/16", "segment routing"),
        ("fc00::/7", "private"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "site-local"),
        ("ff00::/8", "multicast"),
        ("::/3", "not global unicast"),
        ("4000::/2", "not global unicast"),
        ("8000::/1", "not global unicast"),
    )
)

_NAT64: Final = IPv6Network("64:ff9b::/96")
_LOCAL_NAT64: Final = IPv6Network("64:ff9b:1::/48")
# The last 32 bits are the IPv4 address: compatible (RFC 4291), translated (RFC 2765) and well-known NAT64 (RFC 6052).
_LAST_BITS: Final = (IPv6Network("::/96"), IPv6Network("::ffff:0:0:0/96"), _NAT64)
_NO_IPV4: Final = (IPv6Address("::"), IPv6Address("::1"))
# RFC 5214, section 6.1: the first half of an ISATAP interface identifier, without and with the universal bit.
_ISATAP: Final = (b"\x00\x00\x5e\xfe", b"\x02\x00\x5e\xfe")


def special_network(address: Address) -> tuple[Network, str] | None:
    """Returns the refused network of the address, and its meaning; None for an ordinary public address."""
    return next((found for found in REFUSED_NETWORKS if address in found[0]), None)


def embedded(address: Address) -> Iterator[IPv4Address]:
    """Yields the IPv4 addresses that an IPv6 address may lead to, in any form of tunnels and translators. A prefix that
    a network chose itself (RFC 6052, section 2.2; 6rd) cannot be recognized.
    """
    if isinstance(address, IPv4Address) or address in _NO_IPV4:
        return
    octets = address.packed
    if any(address in network for network in _LAST_BITS):
        yield IPv4Address(octets[12:])
    if address.ipv4_mapped is not None:
        yield address.ipv4_mapped
    if address.sixtofour is not None:
        yield address.sixtofour
    yield from address.teredo or ()
    if octets[8:12] in _ISATAP:
        yield IPv4Address(octets[12:])
    if address in _LOCAL_NAT64:
        yield from _translated(octets)


def _translated(octets: bytes) -> Iterator[IPv4Address]:
    """Yields the address for each prefix length that the zeros allow (RFC 6052, section 2.2): for /48, /56 and /64 the
    octet 8 and all octets after the address are zero.
    """
    without_u = octets[:8] + octets[9:]
    lengths = [start for start in (6, 7, 8) if not octets[8] and not any(without_u[start + 4 :])]
    yield from (IPv4Address(without_u[start : start + 4]) for start in lengths)
    if not lengths:
        yield IPv4Address(octets[12:])
