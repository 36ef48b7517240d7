"""TLS and mTLS to Postgres: the connection has what the database URL requires, and errors name the option."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import pytest

from duly.store.postgres.database import Database
from duly.store.postgres.database_errors import DatabaseOutage
from tests.support.certificates import Authority, new_authority
from tests.support.node_packages import missing
from tests.support.postgres_servers import SYSTEM_BINARIES, open_folder, system_15

USER: Final = "duly_app"
RULES: Final = """
local    all      all     trust
hostssl  mutual   all all cert
hostssl  all      all all trust
hostnossl all postgres all trust
"""
ENCRYPTED: Final = "select ssl, client_dn from pg_stat_ssl where pid = pg_backend_pid()"


@dataclass(frozen=True)
class TlsServer:
    """Server that requires TLS, and a certificate of `mutual` connections to the database `mutual`."""

    port: str
    authority: Authority
    stranger: Authority

    def url(self, database: str = "postgres", host: str = "127.0.0.1", **options: object) -> str:
        query = "&".join(f"{name}={value}" for name, value in options.items())
        return f"postgresql://{USER}@{host}:{self.port}/{database}?{query}"


@pytest.fixture(scope="module")
def tls() -> Iterator[TlsServer]:
    """The system's server with a certificate for 127.0.0.1; the embedded one has no TLS."""
    if not SYSTEM_BINARIES.is_dir():
        missing("postgresql", "the tests of TLS need a server with OpenSSL: apt-get install postgresql-15")
    folder = open_folder()
    try:
        for name in ("ours", "theirs"):
            (folder / name).mkdir()
        authority, stranger = new_authority(folder / "ours"), new_authority(folder / "theirs")
        certificate, key = authority.issue("server", hosts=["127.0.0.1"])
        if os.geteuid() == 0:
            shutil.chown(key, "postgres")
        rules = folder / "pg_hba.conf"
        rules.write_text(RULES)
        options = f"-c ssl=on -c ssl_cert_file={certificate} -c ssl_key_file={key} -c ssl_ca_file={authority.file}"
        with system_15(f"{options} -c hba_file={rules}") as server:
            _run(server.url_of("postgres"), f"create role {USER} login", "create database mutual")
            yield TlsServer(server.url_of("x").rsplit(":", 1)[1].partition("/")[0], authority, stranger)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(url: str, *statements: str) -> None:
    commands = [part for statement in statements for part in ("-c", statement)]
    psql = str(SYSTEM_BINARIES / "psql")
    subprocess.run([psql, url, *commands], check=True, capture_output=True, timeout=300)


async def _session(url: str) -> tuple[bool, str | None]:
    """Returns whether a connection of the service is encrypted, and the name in its certificate."""
    database = Database(url, connections=4)
    try:
        async with database.connection() as connection:
            row = await connection.fetchrow(ENCRYPTED)
    finally:
        await database.close()
    assert row is not None
    return row["ssl"], row["client_dn"]


@pytest.mark.parametrize("mode", ["prefer", "require", "verify-ca", "verify-full"])
async def test_every_mode_encrypts(tls: TlsServer, mode: str) -> None:
    trusted: dict[str, Any] = {"sslrootcert": tls.authority.file} if mode.startswith("verify") else {}
    assert await _session(tls.url(sslmode=mode, **trusted)) == (True, None)


async def test_a_client_certificate_is_the_login(tls: TlsServer) -> None:
    certificate, key = tls.authority.issue(USER)
    url = tls.url("mutual", sslmode="verify-full", sslrootcert=tls.authority.file, sslcert=certificate, sslkey=key)
    assert await _session(url) == (True, f"/CN={USER}")


async def _refusal(url: str) -> DatabaseOutage:
    with pytest.raises(DatabaseOutage) as refused:
        await _session(url)
    return refused.value


async def test_a_server_of_another_authority_or_name_is_refused(tls: TlsServer) -> None:
    other = await _refusal(tls.url(sslmode="verify-ca", sslrootcert=tls.stranger.file))
    assert (other.error_class.code, "sslrootcert" in other.line) == ("DATABASE_TLS_FAILED", True)
    named = await _refusal(tls.url(host="localhost", sslmode="verify-full", sslrootcert=tls.authority.file))
    assert (named.error_class.code, "localhost" in named.line) == ("DATABASE_TLS_FAILED", True)
    assert await _session(tls.url(host="localhost", sslmode="verify-ca", sslrootcert=tls.authority.file))


async def test_without_tls_the_login_is_refused_and_the_remedy_is_the_mode(tls: TlsServer) -> None:
    refused = await _refusal(tls.url(sslmode="disable"))
    assert refused.error_class.code == "DATABASE_LOGIN_FAILED"
    assert "no encryption" in refused.line
    assert "sslmode" in refused.line


async def test_a_missing_wrong_or_expired_client_certificate_is_refused_by_name(tls: TlsServer) -> None:
    trusted: dict[str, Any] = {"sslmode": "verify-full", "sslrootcert": tls.authority.file}
    another, key = tls.authority.issue("another")
    for url in (tls.url("mutual", **trusted), tls.url("mutual", **trusted, sslcert=another, sslkey=key)):
        refused = await _refusal(url)
        assert (refused.error_class.code, "sslcert" in refused.line) == ("DATABASE_LOGIN_FAILED", True)
    # With TLS 1.3, the server refuses after the handshake, and may close before its reason arrives.
    for certificate, key in (tls.stranger.issue(USER), tls.authority.issue("expired", days=-1)):
        refused = await _refusal(tls.url("mutual", **trusted, sslcert=certificate, sslkey=key))
        assert "sslcert" in refused.line or "see the server's log" in refused.line
