"""Two PostgreSQL servers under Patroni, with synchronous replication, which promotes one when the other is lost.

Their agreement is kept by one process of Raft, which needs no election; no member has a vote of its own.
"""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import psutil
import pytest

from duly.embedded.folder import Account, open_folder, programs
from tests.support import postgres_servers
from tests.support.locked_python import locked_python
from tests.support.service import NO_TLS, eventually
from tests.support.service_process import gone
from tests.support.tcp_servers import free_port

LOCKED: Final = Path(__file__).parent / "patroni"
# Each wait ends in seconds; these are of a machine that is starved of processors.
BOUND_SECONDS: Final = 300.0
ANSWER_SECONDS: Final = 30.0
PAUSE_SECONDS: Final = 0.3  # between two questions, so that Patroni has the processors
OF_DEBIAN: Final = Path("/usr/bin/python3")
# The shortest time to live that Patroni permits. A member of which only the server is lost is replaced at once.
CLUSTER: Final = {
    "ttl": 20,
    "loop_wait": 1,
    "retry_timeout": 9,
    "primary_start_timeout": 0,
    "synchronous_mode": True,
    "maximum_lag_on_syncnode": -1,
}
SERVER: Final = {
    "max_connections": 200,
    "max_locks_per_transaction": 256,
    "shared_buffers": "64MB",
    "wal_keep_size": "256MB",
    "max_prepared_transactions": 10,
    "wal_retrieve_retry_interval": "200ms",
    "unix_socket_directories": "",
}
ACCESS: Final = ["host all all 127.0.0.1/32 trust", "host replication all 127.0.0.1/32 trust"]


def _as_user(account: Account | None) -> dict[str, Any]:
    """Returns the options of a subprocess of the user of the servers."""
    return {"user": account.uid, "group": account.gid, "extra_groups": []} if account else {}


@dataclass
class Keeper:
    """Programs of Patroni in one folder, run as the user of the servers."""

    python: Path
    folder: Path
    account: Account | None

    def start(self, program: str, name: str, settings: dict[str, Any]) -> "subprocess.Popen[bytes]":
        """Starts a program of Patroni in a session of its own. Its log is the file of its name."""
        file, log = self.folder / f"{name}.yml", self.folder / f"{name}.log"
        file.write_text(json.dumps(settings))  # JSON is YAML
        with log.open("ab") as output:
            return subprocess.Popen(
                [self.python.with_name(program), file],
                **_as_user(self.account),
                start_new_session=True,
                cwd=self.folder,
                env={"PATH": os.defpath, "LC_ALL": "C", "HOME": str(self.folder)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )


@dataclass
class PatroniMember:
    """Server with the Patroni that keeps it."""

    name: str
    port: int
    api: str
    data: Path
    keeper: "subprocess.Popen[bytes]"

    async def kill(self) -> None:
        """Kills Patroni and all processes of its server, as the loss of a machine does."""
        await _kill(self.keeper.pid)  # first: it would start the server again
        self.keeper.wait()
        with suppress(OSError, ValueError):
            await _kill(int((self.data / "postmaster.pid").read_text().split("\n", 1)[0]))


@dataclass
class PatroniCluster:
    """Two members, of which Patroni makes one the primary. `url_of` names both."""

    members: Sequence[PatroniMember]
    client: httpx.AsyncClient

    def url_of(self, database: str) -> str:
        hosts = ",".join(f"127.0.0.1:{member.port}" for member in self.members)
        return f"postgresql://postgres@{hosts}/{database}"

    async def roles(self) -> dict[str, str]:
        """Returns, after a pause, what each member that answers says of itself, as `primary` or `sync_standby`."""
        await asyncio.sleep(PAUSE_SECONDS)
        roles = {}
        for member in self.members:
            with suppress(httpx.HTTPError, ValueError):
                told = (await self.client.get(f"{member.api}/patroni")).json()
                roles[member.name] = "sync_standby" if told.get("sync_standby") else str(told.get("role"))
        return roles

    async def settled(self) -> tuple[PatroniMember, PatroniMember]:
        """Waits until there are a primary and a synchronous standby, and returns them."""

        async def found() -> list[PatroniMember]:
            roles = await self.roles()
            complete = sorted(roles.values()) == ["primary", "sync_standby"]
            return sorted(self.members, key=lambda member: roles[member.name]) if complete else []

        primary, standby = await eventually(found, seconds=BOUND_SECONDS)
        return primary, standby

    async def switch_over(self) -> None:
        """Lets the synchronous standby take the place of the primary, in order."""
        primary, standby = await self.settled()

        async def done() -> bool:
            if (await self.roles()).get(standby.name) == "primary":
                return True
            wanted = {"leader": primary.name, "candidate": standby.name}
            with suppress(httpx.HTTPError):  # a repetition is refused while the first request is being done
                await self.client.post(f"{primary.api}/switchover", json=wanted)
            return False

        await eventually(done, seconds=BOUND_SECONDS)


def _settings(name: str, folder: Path, *, port: int, api: int, agreed: str) -> dict[str, Any]:
    first = {"dcs": {**CLUSTER, "postgresql": {"use_pg_rewind": False, "parameters": SERVER}}, "pg_hba": ACCESS}
    users = {"superuser": {"username": "postgres"}, "replication": {"username": "replicator"}}
    return {
        "scope": "duly",
        "name": name,
        "restapi": {"listen": f"127.0.0.1:{api}", "connect_address": f"127.0.0.1:{api}"},
        "raft": {"partner_addrs": [agreed], "data_dir": str(folder / f"raft-{name}")},
        "bootstrap": {**first, "initdb": [{"encoding": "UTF8"}, {"locale": "C"}, {"auth": "trust"}, "no-sync"]},
        "postgresql": {
            "listen": f"127.0.0.1:{port}",
            "connect_address": f"127.0.0.1:{port}",
            "authentication": users,
            "data_dir": str(folder / f"data-{name}"),
            "bin_dir": str(programs()),
            "pgpass": str(folder / f"pgpass-{name}"),
            "remove_data_directory_on_diverged_timelines": True,
        },
    }


def _interpreter(account: Account | None) -> Path:
    """Returns an interpreter that the user of the servers may run: that of root may be in a folder of root."""
    for python in (Path(sys.executable), OF_DEBIAN):
        with suppress(OSError):
            subprocess.run([python, "-c", ""], check=True, cwd="/", timeout=BOUND_SECONDS, **_as_user(account))
            return python
    pytest.skip("the user of the servers may run no Python: apt-get install python3")


@contextmanager
def _folder_of_cluster() -> Iterator[tuple[Path, Account | None]]:
    """Yields a folder of the user of the servers."""
    base = postgres_servers.open_folder()
    try:
        account = open_folder(base / "programs").account
        if account is not None:
            os.chown(base, account.uid, account.gid)
        yield base, account
    finally:
        shutil.rmtree(base, ignore_errors=True)


@asynccontextmanager
async def patroni_cluster(config: pytest.Config) -> AsyncIterator[PatroniCluster]:
    """Yields a primary with a synchronous standby."""
    with _folder_of_cluster() as (folder, account):
        keeper = Keeper(locked_python(config, LOCKED, _interpreter(account)), folder, account)
        agreed = f"127.0.0.1:{free_port()}"
        raft = {"raft": {"self_addr": agreed, "data_dir": str(folder / "raft")}}
        agreeing = keeper.start("patroni_raft_controller", "raft", raft)
        members: list[PatroniMember] = []
        try:
            for name in ("first", "other"):
                port, api = free_port(), free_port()
                settings = _settings(name, folder, port=port, api=api, agreed=agreed)
                of_member = keeper.start("patroni", name, settings)
                data = Path(settings["postgresql"]["data_dir"])
                members.append(PatroniMember(name, port, f"http://127.0.0.1:{api}", data, of_member))
            async with httpx.AsyncClient(verify=NO_TLS, timeout=ANSWER_SECONDS) as client:
                cluster = PatroniCluster(members, client)
                await cluster.settled()
                yield cluster
        finally:
            for member in members:
                await member.kill()
            await _kill(agreeing.pid)
            agreeing.wait()


async def _kill(pid: int) -> None:
    """Kills a process and all that it has started."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        processes = [process, *process.children(recursive=True)]
        for each in processes:
            with suppress(psutil.NoSuchProcess):
                each.kill()
        await gone(processes, seconds=BOUND_SECONDS)
