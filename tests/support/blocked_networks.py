"""Blocked networks, listed a second time so that a row missing from the table is detected."""

from ipaddress import IPv4Address, IPv6Address, ip_address

# First and last address of each network, in the order of the table.
EDGES = [
    ("0.0.0.0", "0.255.255.255"),
    ("10.0.0.0", "10.255.255.255"),
    ("100.64.0.0", "100.127.255.255"),
    ("127.0.0.0", "127.255.255.255"),
    ("168.63.129.16", "168.63.129.16"),
    ("169.254.0.0", "169.254.255.255"),
    ("172.16.0.0", "172.31.255.255"),
    ("192.0.0.0", "192.0.0.255"),
    ("192.0.2.0", "192.0.2.255"),
    ("192.31.196.0", "192.31.196.255"),
    ("192.52.193.0", "192.52.193.255"),
    ("192.88.99.0", "192.88.99.255"),
    ("192.168.0.0", "192.168.255.255"),
    ("192.175.48.0", "192.175.48.255"),
    ("198.18.0.0", "198.19.255.255"),
    ("198.51.100.0", "198.51.100.255"),
    ("203.0.113.0", "203.0.113.255"),
    ("224.0.0.0", "239.255.255.255"),
    ("240.0.0.0", "255.255.255.255"),
    ("::", "::ffff:ffff"),
    ("::1", "::127.0.0.1"),
    ("::ffff:0.0.0.0", "::ffff:0.255.255.255"),
    ("::ffff:10.0.0.0", "::ffff:10.255.255.255"),
    ("::ffff:127.0.0.1", "::ffff:169.254.169.254"),
    ("::ffff:240.0.0.0", "::ffff:255.255.255.255"),
    ("::ffff:0:0:0", "::ffff:0:ffff:ffff"),
    ("64:ff9b::", "64:ff9b::ffff:ffff"),
    ("64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff"),
    ("100::", "100::ffff:ffff:ffff:ffff"),
    ("100:0:0:1::", "100::1:ffff:ffff:ffff:ffff"),
    ("2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("2620:4f:8000::", "2620:4f:8000:ffff:ffff:ffff:ffff:ffff"),
    ("3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("5f00::", "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("1:2::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("4000::", "7fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("8000::", "fbff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
]
# All of IPv6 outside of 2000::/3.
NOT_GLOBAL = [("::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), ("4000::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")]
ORDINARY = ["1.1.1.1", "8.8.8.8", "2606:4700:4700::1111", "2003::1", "::ffff:8.8.8.8"]

Address = IPv4Address | IPv6Address


def _beside() -> list[str]:
    """Returns the addresses before and after each network that are in no other one."""
    ends = [(ip_address(first), ip_address(last)) for first, last in [*EDGES, *NOT_GLOBAL]]
    # An IPv4-mapped address counts as the IPv4 address in it, whose neighbors are included already.
    ends = [(first, last) for first, last in ends if first.version == 4 or first.ipv4_mapped is None]
    beside = {first - 1 for first, _ in ends if int(first)} | {last + 1 for _, last in ends if not _is_last(last)}
    inside = {one for one in beside if any(_within(one, first, last) for first, last in ends)}
    return sorted(str(one) for one in beside - inside if one.version == 4 or one.ipv4_mapped is None)


def _is_last(address: Address) -> bool:
    return int(address) == (1 << address.max_prefixlen) - 1


def _within(one: Address, first: Address, last: Address) -> bool:
    return one.version == first.version and int(first) <= int(one) <= int(last)


NEIGHBOURS = _beside()
