"""Forms and options of a database URL: libpq's forms and options, each taken or refused by its name."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import parse_qs, urlsplit

import pytest

from duly.store.postgres.database import Database, DatabaseOutage
from duly.store.postgres.database_url import OPTIONS, InvalidDatabaseUrl, parse_url, without_password

PASSWORD = "s3cret-pass"

ANY, PRIMARY, WRITES = (f"target_session_attrs={value}" for value in ("any", "primary", "read-write"))
CERTIFIED = "sslmode=verify-full&sslrootcert=/ca.pem"
TAKEN = [
    ("postgresql://h/d", ["h/d"]),
    ("postgres://u:p@h:5433/d", ["u:p@h:5433/d"]),
    ("postgresql+asyncpg://u@h/d", ["u@h/d"]),
    (f"postgresql://a:1,b:2/d?{ANY}", [f"a:1/d?{ANY}", f"b:2/d?{ANY}"]),
    ("postgresql://u:p%40@a,b:2/d", [f"u:p%40@a/d?{WRITES}", f"u:p%40@b:2/d?{WRITES}"]),
    (f"postgresql://[::1]:5,[fe80::2]:6/d?{PRIMARY}", [f"[::1]:5/d?{PRIMARY}", f"[fe80::2]:6/d?{PRIMARY}"]),
    ("postgresql:///d?host=/run/pg&port=5433", ["/d?host=/run/pg&port=5433"]),
    ("postgresql://u@%2Frun%2Fpg/d", ["u@/d?host=/run/pg"]),
    (f"postgresql:///d?host=a,b&port=1,2&{ANY}", [f"a:1/d?{ANY}", f"b:2/d?{ANY}"]),
    (f"postgresql:///d?host=a,b&port=7&{ANY}", [f"a:7/d?{ANY}", f"b:7/d?{ANY}"]),
    ("postgresql:///d?host=::1&port=7", ["[::1]:7/d"]),
    ("postgresql://old/d?host=new", ["new/d"]),
    ("postgresql:///d?port=7", ["/d?port=7"]),
    ("postgresql://h", ["h"]),
    (f"postgresql://h/d?{CERTIFIED}", [f"h/d?{CERTIFIED}"]),
    ("postgresql://h/d?options=-c%20search_path%3Dapp", ["h/d?options=-c%20search_path%3Dapp"]),
    ("postgresql://h/d?application_name=shop&connect_timeout=3", ["h/d"]),
    ("postgresql://h/d?channel_binding=prefer&gssencmode=disable&client_encoding=UTF8&sslsni=1", ["h/d"]),
]


@pytest.mark.parametrize(("url", "urls"), TAKEN, ids=[url for url, _ in TAKEN])
def test_the_forms_of_libpq_are_taken(url: str, urls: list[str]) -> None:
    assert list(parse_url(url).urls) == [f"postgresql://{each}" for each in urls]


def test_what_is_ours_to_do_is_not_sent_to_the_server() -> None:
    target = parse_url("postgresql://u%20x:p@h/d?application_name=shop&connect_timeout=3&fallback_application_name=x")
    assert (target.role, target.application_name, target.connect_seconds) == ("u x", "shop", 3.0)
    assert parse_url("postgresql://h/d?fallback_application_name=x").application_name == "x"
    assert parse_url("postgresql://h/d?connect_timeout=0").connect_seconds is None  # libpq: no limit; ours stays
    assert parse_url("postgresql://h/d?user=u").role == "u"


REFUSED = [
    (f"u:{PASSWORD}@h", "must be a URL"),
    (f"host=h password={PASSWORD}", "must be a URL"),
    (f"mysql://u:{PASSWORD}@h/d", "must begin with postgresql://"),
    (f"postgresql://u:{PASSWORD}@h:x/d", "port"),
    (f"postgresql://u:{PASSWORD}@h:0/d", "port"),
    (f"postgresql://u:{PASSWORD}@h:65536/d", "port"),
    (f"postgresql://u:{PASSWORD}#@h/d", "percent-encoded"),
    (f"postgresql://u:{PASSWORD}@a,b/d?port=1,2,3", "3 ports for 2 hosts"),
    (f"postgresql://u:{PASSWORD}@[::1/d", "host"),
    (f"postgresql://u:{PASSWORD}@h/d?sslmode=yes", "'sslmode'.*verify-full"),
    (f"postgresql://u:{PASSWORD}@h/d?sslmode", "option=value"),
    (f"postgresql://u:{PASSWORD}@h/d?target_session_attrs=standby", "'target_session_attrs'.*Duly writes"),
    (f"postgresql://u:{PASSWORD}@h/d?target_session_attrs=prefer-standby", "'target_session_attrs'"),
    (f"postgresql://u:{PASSWORD}@h/d?connect_timeout=soon", "'connect_timeout'.*seconds"),
    (f"postgresql://u:{PASSWORD}@h/d?channel_binding=require", "'channel_binding'.*remove it"),
    (f"postgresql://u:{PASSWORD}@h/d?load_balance_hosts=random", "'load_balance_hosts'"),
    (f"postgresql://u:{PASSWORD}@h/d?gssencmode=require", "'gssencmode'"),
    *((f"postgresql://u:{PASSWORD}@h/d?{name}=1", f"'{name}'") for name in (
        "hostaddr", "keepalives", "tcp_user_timeout", "replication", "require_auth", "sslcertmode", "pgbouncer",
        "statement_timeout", "search_path", "SSLMODE", "database",
    )),
]  # fmt: skip


@pytest.mark.parametrize(("url", "words"), REFUSED, ids=[url.replace(PASSWORD, "") for url, _ in REFUSED])
def test_what_is_not_taken_is_named_in_one_line_without_the_password(url: str, words: str) -> None:
    with pytest.raises(InvalidDatabaseUrl, match=words) as wrong:
        parse_url(url)
    assert PASSWORD not in str(wrong.value)
    assert "\n" not in str(wrong.value)


def test_every_option_that_is_named_as_known_is_taken() -> None:
    values = {"port": "5", "sslmode": "require", "sslnegotiation": "postgres", "target_session_attrs": "any"}
    values |= {"ssl_min_protocol_version": "TLSv1.2", "ssl_max_protocol_version": "TLSv1.3", "connect_timeout": "2"}
    for option in OPTIONS:
        assert parse_url(f"postgresql://h/d?{option}={values.get(option, 'x')}").urls


def test_the_url_for_people_has_no_password_wherever_it_was() -> None:
    for url in (
        f"postgresql://u:{PASSWORD}@a:1,b:2/d",
        f"postgresql://u@h/d?password={PASSWORD}&sslpassword={PASSWORD}",
    ):
        assert PASSWORD not in without_password(url)
        assert PASSWORD not in repr(Database(url))


@contextmanager
def _silent() -> Iterator[int]:
    """The port of a host that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield int(listening.getsockname()[1])


def _place(database_url: str) -> tuple[str, str, str]:
    parts = urlsplit(database_url)
    given = parse_qs(parts.query)
    host = given["host"][0] if "host" in given else str(parts.hostname)
    port = given["port"][0] if "port" in given else str(parts.port)
    return host, port, parts.path


@pytest.mark.parametrize("first", ["refuses", "is silent"])
async def test_where_the_first_host_does_not_serve_the_next_one_is_tried(database_url: str, first: str) -> None:
    host, port, path = _place(database_url)
    with _silent() as silent:
        dead = silent if first == "is silent" else 1
        url = f"postgresql://postgres@{path}?host=127.0.0.1,{host}&port={dead},{port}&connect_timeout=1"
        database = Database(url)
        for flow in (database.connection, database.hot().use):
            async with flow() as connection:
                assert await connection.fetchval("select 1") == 1
        await database.close()


async def test_a_host_that_only_reads_is_passed_over_and_alone_is_named_as_read_only(database_url: str) -> None:
    name = database_url.partition("?")[0].rpartition("/")[2]
    host, port, path = _place(database_url)
    database = Database(database_url)
    async with database.connection() as connection:
        await connection.execute(f"alter database {name} set default_transaction_read_only = on")
    await database.close()
    twice = Database(f"postgresql://postgres@{path}?host={host},{host}&port={port},{port}")
    with pytest.raises(DatabaseOutage) as away:
        async with twice.connection():
            pass
    assert away.value.error_class.code == "DATABASE_READ_ONLY"
    assert "target_session_attrs" in away.value.line
    await twice.close()
    database = Database(database_url)
    async with database.connection() as connection:
        await connection.execute("set default_transaction_read_only = off")
        await connection.execute(f"alter database {name} reset default_transaction_read_only")
    await database.close()


async def test_the_application_name_of_the_url_is_that_of_the_sessions(database_url: str) -> None:
    separator = "&" if "?" in database_url else "?"
    for more, shown in (("", "duly"), (f"{separator}application_name=shop", "shop")):
        database = Database(database_url + more)
        async with database.connection() as connection:
            assert await connection.fetchval("show application_name") == shown
        await database.close()


async def test_options_reach_the_server_and_timeouts_among_them_do_not_cut_our_work(database_url: str) -> None:
    separator = "&" if "?" in database_url else "?"
    options = "options=-c%20work_mem%3D5MB%20-c%20statement_timeout%3D60s"
    database = Database(f"{database_url}{separator}{options}")
    async with database.connection() as connection:
        assert await connection.fetchval("show work_mem") == "5MB"
        assert await connection.fetchval("show statement_timeout") == "0"
    await database.close()
