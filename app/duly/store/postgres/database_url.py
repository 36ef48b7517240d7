"""Database URL, with the options of libpq.

The options are those of https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS. Unsupported
ones are rejected by name, since the driver would send them to the server as settings, or ignore them.
"""

import re
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

# Options of the driver. It would send others to the server as settings.
OPTIONS = frozenset(
    {
        *("host", "port", "user", "password", "dbname", "passfile", "service", "target_session_attrs"),
        *("sslmode", "sslcert", "sslkey", "sslrootcert", "sslcrl", "sslpassword", "sslnegotiation"),
        *("ssl_min_protocol_version", "ssl_max_protocol_version", "krbsrvname", "gsslib"),
        *("application_name", "options", "connect_timeout", "fallback_application_name"),
    }
)
FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl", "passfile")
# Values that equal the behavior of the driver; others are rejected.
_AS_IT_IS = {
    "channel_binding": {"disable", "prefer"},
    "client_encoding": {"utf8", "utf-8", "auto"},
    "gssencmode": {"disable", "prefer"},
    "load_balance_hosts": {"disable"},
    "sslcompression": {"0"},
    "sslsni": {"1"},
}
_VALUES = {
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "sslnegotiation": ("postgres", "direct"),
    "target_session_attrs": ("any", "read-write", "primary"),
    "ssl_min_protocol_version": ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"),
    "ssl_max_protocol_version": ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"),
}
_REASONS = {"target_session_attrs": " (Duly writes)"}
_OURS = {"connect_timeout", "application_name", "fallback_application_name"}
_EXAMPLE = "postgresql://user:password@host:5432/database"
_ENCODED = "in a password the characters :/?#@ are percent-encoded"
_HOST = re.compile(r"(\[[^\]]*\]|[^:\[\]]*)(?::(.*))?")


class InvalidDatabaseUrl(ValueError):
    """Unusable database URL. The message repeats no part that may be a password."""


class ConnectionTarget(NamedTuple):
    """Target of connections: for each host a URL in the form of the driver, tried in order. `writes`: only a host that
    accepts writes is used.
    """

    urls: tuple[str, ...]
    role: str = ""
    application_name: str | None = None
    connect_seconds: float | None = None
    files: tuple[tuple[str, str], ...] = ()
    writes: bool = False


def parse_url(url: str) -> ConnectionTarget:
    """Parses a database URL.

    Raises:
        InvalidDatabaseUrl: the URL is malformed, not for PostgreSQL, or has an unsupported option or value.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        raise InvalidDatabaseUrl(f"must be a URL such as {_EXAMPLE}")
    if scheme not in {"postgresql", "postgres", "postgresql+asyncpg"}:
        raise InvalidDatabaseUrl("must begin with postgresql://")
    if "#" in rest:
        raise InvalidDatabaseUrl(f"must not contain #: {_ENCODED}")
    place, _, query = rest.partition("?")
    authority, slash, path = place.partition("/")
    user, at, hosts = authority.rpartition("@")
    given = _options(query)
    found = _hosts(hosts, given.pop("host", None), given.pop("port", None))
    if len(found) > 1:  # of several hosts, a read-only one cannot be used
        given.setdefault("target_session_attrs", "read-write")
    driver = {name: value for name, value in given.items() if name not in _OURS}
    return ConnectionTarget(
        tuple(_url(user + at, slash + path, driver, host, port) for host, port in found),
        given.get("user") or unquote(user.partition(":")[0]),
        given.get("application_name") or given.get("fallback_application_name"),
        float(given.get("connect_timeout") or 0) or None,
        tuple((name, given[name]) for name in FILES if given.get(name)),
        given.get("target_session_attrs", "any") != "any",
    )


def _options(query: str) -> dict[str, str]:
    try:
        given = dict(parse_qsl(query, strict_parsing=True, keep_blank_values=True)) if query else {}
    except ValueError:
        raise InvalidDatabaseUrl(f"has a text after the ? that is not option=value; {_ENCODED}") from None
    for name, value in list(given.items()):
        if name in _AS_IT_IS:
            if value.lower() not in _AS_IT_IS[name]:
                raise InvalidDatabaseUrl(
                    f"has the option {name!r}, of which only {_either(_AS_IT_IS[name])} is supported; remove it"
                )
            del given[name]
        elif name not in OPTIONS:
            raise InvalidDatabaseUrl(f"has the unknown option {name!r}; known are {', '.join(sorted(OPTIONS))}")
        elif name in _VALUES and value not in _VALUES[name]:
            raise InvalidDatabaseUrl(
                f"has the option {name!r}, which must be {_either(_VALUES[name])}{_REASONS.get(name, '')}"
            )
    if not re.fullmatch(r"[0-9]{0,6}", given.get("connect_timeout", ""), re.ASCII):
        raise InvalidDatabaseUrl("has the option 'connect_timeout', which must be a number of seconds")
    return given


def _either(values: set[str] | tuple[str, ...]) -> str:
    *others, last = sorted(values) if isinstance(values, set) else values
    return f"{', '.join(others)} or {last}" if others else last


def _hosts(authority: str, named: str | None, ports: str | None) -> list[tuple[str, str]]:
    """Returns each host with its port; both may be empty. Options precede the authority, as in libpq."""
    found = []
    for text in (named or unquote(authority)).split(","):
        if text.startswith("/"):
            found.append((text, ""))
        elif named and text.count(":") > 1 and not text.startswith("["):
            found.append((f"[{text}]", ""))  # IPv6 in an option has no brackets
        elif matched := _HOST.fullmatch(text):
            found.append((matched[1], matched[2] or ""))
        else:
            raise InvalidDatabaseUrl(f"has a malformed host; {_ENCODED}")
    given = (ports or "").split(",")
    if ports and len(given) not in {1, len(found)}:
        raise InvalidDatabaseUrl(f"has {len(given)} ports for {len(found)} hosts")
    if ports:
        found = [(host, given[n if len(given) > 1 else 0]) for n, (host, _) in enumerate(found)]
    for _, port in found:
        if port and not (re.fullmatch(r"[0-9]{1,5}", port, re.ASCII) and 0 < int(port) < 1 << 16):
            raise InvalidDatabaseUrl(f"has a port that is not a number up to 65535; {_ENCODED}")
    return found


def _url(user: str, path: str, options: dict[str, str], host: str, port: str) -> str:
    """Returns the URL of one host. The folder of a socket is an option, since it is not a host."""
    named = bool(host) and not host.startswith("/")
    where = {} if named else {name: value for name, value in (("host", host), ("port", port)) if value}
    authority = user + host + (f":{port}" if port else "") if named else user
    query = urlencode({**where, **options}, quote_via=quote, safe="/")
    return f"postgresql://{authority}{path}{'?' if query else ''}{query}"


def without_password(url: str) -> str:
    """Returns the URL without its password, for messages."""
    parts = urlsplit(url)
    user, at, hosts = parts.netloc.rpartition("@")
    shown = quote(unquote(user.partition(":")[0])) + at + hosts
    return f"postgresql://{shown}{parts.path}"


def location_of(url: str) -> str:
    """Returns where the database of a driver's URL is: without its password, with the folder of its socket."""
    folder = dict(parse_qsl(urlsplit(url).query)).get("host")
    return without_password(url) + (f" on the socket in {folder}" if folder else "")
