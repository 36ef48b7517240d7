"""The address of a Postgres: what a URL may say, in the words of libpq."""

import re
from urllib.parse import parse_qsl, quote, unquote, urlsplit

# Options that the driver understands. Whatever else a URL says, the driver would send to the server as a setting.
OPTIONS = frozenset(
    {
        *("host", "port", "user", "password", "dbname", "passfile", "service", "target_session_attrs"),
        *("sslmode", "sslcert", "sslkey", "sslrootcert", "sslcrl", "sslpassword", "sslnegotiation"),
        *("ssl_min_protocol_version", "ssl_max_protocol_version", "krbsrvname", "gsslib"),
        *("application_name", "options"),
    }
)
_EXAMPLE = "postgresql://user:password@host:5432/database"
_PORT = re.compile(r":([^:\]]*)$")


class UrlWrong(ValueError):
    """The database URL cannot be used. The text repeats nothing of it that may be a password."""


def parse_url(url: str) -> str:
    """The URL as the driver takes it.

    Raises:
        UrlWrong: it is none, or not one of PostgreSQL, or has an option that is not known.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        raise UrlWrong(f"is not a URL such as {_EXAMPLE}")
    if scheme not in {"postgresql", "postgres", "postgresql+asyncpg"}:
        raise UrlWrong("does not begin with postgresql://")
    try:
        parts = urlsplit(f"postgresql://{rest}")
        given = parse_qsl(parts.query, strict_parsing=True, keep_blank_values=True) if parts.query else []
    except ValueError:
        raise UrlWrong(f"is not a URL such as {_EXAMPLE}") from None
    if unknown := sorted({name for name, _ in given} - OPTIONS):
        raise UrlWrong(f"has the unknown option {unknown[0]!r}; known are {', '.join(sorted(OPTIONS))}")
    for host in parts.netloc.rpartition("@")[2].split(","):
        if (port := _PORT.search(host)) and not (port[1].isascii() and port[1].isdigit()):
            raise UrlWrong("has a port that is not a number")
    return parts.geturl()


def without_password(url: str) -> str:
    """The URL for people to read: no password, wherever it stands in it."""
    parts = urlsplit(url)
    user, at, hosts = parts.netloc.rpartition("@")
    shown = quote(unquote(user.partition(":")[0])) + at + hosts
    return f"postgresql://{shown}{parts.path}"
