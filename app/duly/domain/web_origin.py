"""Hosts and origins in the form that browsers use (RFC 9110, section 7.2; RFC 6454, section 6.2)."""

import re
from ipaddress import IPv6Address, ip_address
from typing import Final, NamedTuple

from duly.domain.egress_policy import is_localhost

_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~-]+)(?::([0-9]{0,5}))?")
_ORIGIN: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#@\\\s]+)")
_DEFAULT_PORTS: Final = {"http": "80", "ws": "80", "https": "443", "wss": "443"}


class HostPort(NamedTuple):
    """Host in lower case, an IPv6 address in brackets, and its port; an empty port is the default one."""

    host: str
    port: str

    @property
    def spellings(self) -> tuple[str, str]:
        """Returns the host without and with the port."""
        return self.host, f"{self.host}:{self.port}"


def host_and_port(text: str) -> HostPort | None:
    """Parses a `Host` header; returns None if it is malformed."""
    found = _HOST.fullmatch(text)
    if found is None:
        return None
    host = found[1].lower().removesuffix(".")
    if host.startswith("["):
        try:
            host = f"[{IPv6Address(host[1:-1])}]"
        except ValueError:
            return None
    return HostPort(host, found[2] or "") if host else None


def allowed_host(text: str) -> str | None:
    """Returns a host of a setting in the form of `HostPort`, or None; an IPv6 address may lack its brackets."""
    parsed = host_and_port(text) or host_and_port(f"[{text}]")
    return parsed and parsed.spellings[bool(parsed.port)]


def is_loopback(host: str) -> bool:
    """Returns whether a host of `host_and_port` is this machine, under a name that no other host can have."""
    if is_localhost(host):
        return True
    try:
        address = ip_address(host.strip("[]"))
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


def web_origin(text: str) -> str | None:
    """Returns an origin as a browser sends it, in lower case without the default port; None: malformed."""
    found = _ORIGIN.fullmatch(text.removesuffix("/"))
    parsed = host_and_port(found[2]) if found else None
    if found is None or parsed is None:
        return None
    scheme = found[1].lower()
    port = "" if parsed.port == _DEFAULT_PORTS.get(scheme) else parsed.port
    return f"{scheme}://{parsed.host}{port and f':{port}'}"


def same_place(origin: str, host: str) -> bool:
    """Returns whether a page of this origin was loaded from this `Host`. Schemes are not compared, because a proxy in
    front of the service may terminate TLS without a header that says so.
    """
    found = _ORIGIN.fullmatch(origin)
    theirs, ours = (host_and_port(found[2]), host_and_port(host)) if found else (None, None)
    if found is None or theirs is None or ours is None:
        return False
    default = _DEFAULT_PORTS.get(found[1].lower(), "")
    return theirs.host == ours.host and (theirs.port or default) == (ours.port or default)
