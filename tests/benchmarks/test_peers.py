"""Catalog of the peers, targets relative to them, and the lines of their processes; no peer is installed here."""

import os
import select
import sys
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from benchmarks.contestants import peers_that_run, peers_that_submit
from benchmarks.peers import catalog, environments, measurements, stores
from benchmarks.peers.catalog import PEERS, Peer, Store
from benchmarks.peers.line_process import LineProcess, run_line_process
from benchmarks.postgres_server import Server
from benchmarks.processes import ContestantFailed
from benchmarks.rows.deliveries import AIOHTTP_ALONE, HTTPX_ALONE
from benchmarks.rows.webhook_posts import AIOHTTP, HTTPX
from benchmarks.run_context import RunContext, Sizes
from benchmarks.targets import ON_RECORD, POSTGRES_PEERS, REDIS_PEERS, Bound

ADAPTERS = Path(environments.__file__).parent / "adapters"
ECHO = """
import sys
print("a library says hello", flush=True)
for line in sys.stdin:
    index = int(line)
    print(f"started {index + STEP} 5000000\\nsent {index} 2000000", flush=True)
"""


def context(folder: Path, *, full: bool) -> RunContext:
    return RunContext(Server(0, lambda database: f"postgresql://{database}"), folder, Sizes(full=full))


def talk_with(script: str, folder: Path) -> AbstractContextManager[LineProcess]:
    return run_line_process("the peer", [sys.executable, "-c", script], environment={}, log=folder / "log")


def test_the_quick_run_has_the_postgres_peers_that_are_weighed_first_and_the_full_run_all(tmp_path: Path) -> None:
    quick = [contestant.name.split()[0] for contestant in peers_that_run(context(tmp_path, full=False))]

    assert quick == ["PgQueuer", "Procrastinate", "Graphile", "awa"]
    assert len(peers_that_run(context(tmp_path, full=True))) == len(PEERS)


def test_a_name_tells_version_and_settings_and_no_two_contestants_of_a_row_share_one(tmp_path: Path) -> None:
    ran, submitted = (
        [contestant.name for contestant in contestants(context(tmp_path, full=True))]
        for contestants in (peers_that_run, peers_that_submit)
    )

    assert len(set(ran)) == len(ran)
    assert len(set(submitted)) == len(submitted)
    assert ran[0] == f"PgQueuer {environments.version(PEERS[0])} (batch 500)"


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: f"{peer.name}, {peer.setup}")
def test_each_peer_has_its_file_and_its_package_in_a_lock_with_hashes(peer: Peer) -> None:
    node = environments.environment_of(peer) == catalog.NODE

    assert (ADAPTERS / f"{peer.module}.{'mjs' if node else 'py'}").exists()
    assert environments.version(peer)[0].isdigit()
    assert ("sha512-" if node else "--hash=sha256:") in environments.locks(environments.environment_of(peer))[
        0
    ].read_text()


def test_what_is_on_record_names_contestants_as_the_run_names_them() -> None:
    names = {store: {peer.name for peer in PEERS if peer.store is store} for store in Store}

    assert set(POSTGRES_PEERS) == names[Store.POSTGRES]
    assert set(REDIS_PEERS) == names[Store.REDIS]
    clients = {client.name for client in (HTTPX, AIOHTTP, HTTPX_ALONE, AIOHTTP_ALONE)}
    known = tuple(names[Store.POSTGRES] | names[Store.REDIS] | clients)
    begins = [begin for record in ON_RECORD.values() for begin in record.contestants]
    assert [begin for begin in begins if not any(name.startswith(begin) for name in known)] == []


def test_a_mark_is_taken_from_the_run_and_from_the_record_only_where_the_run_has_none() -> None:
    bound = Bound("rate", 2, "PgQueuer, processed")
    measured = {"PgQueuer 1.6.0 (batch 500)": {"rate": 1_000.0}, "naive": {"rate": 50_000.0}}

    assert bound.mark(measured) == 2_000
    assert bound.mark({"naive": {"rate": 1.0}}) == 2 * ON_RECORD["PgQueuer, processed"].value
    assert bound.mark({"PgQueuer 1.6.0 (batch 500)": {}}) == 2 * ON_RECORD["PgQueuer, processed"].value


def test_the_mark_is_the_best_of_several_the_highest_rate_and_the_lowest_latency() -> None:
    workers = {"Graphile Worker 0.18.0 (defaults)": {"rate": 4.0}, "Graphile Worker 0.18.0 (local)": {"rate": 44.0}}
    redis = {"taskiq 0.13.0 (stream)": {"p50_ms": 1.5}, "arq 0.28.0 (polling)": {"p50_ms": 12.0}}

    assert Bound("rate", 1, "Graphile Worker, processed").mark(workers) == 44
    assert Bound("p50_ms", 1, "best Redis peer, p50", at_most=True).mark(redis) == 1.5


def test_picking_up_is_timed_from_the_call_to_the_start(tmp_path: Path) -> None:
    with talk_with(ECHO.replace("STEP", "0"), tmp_path) as peer:
        latencies = measurements.pick_ups(peer, peer, count=2)

    assert latencies == [3.0, 3.0]


def test_the_start_of_another_job_than_was_sent_is_a_failure(tmp_path: Path) -> None:
    with (
        talk_with(ECHO.replace("STEP", "1"), tmp_path) as peer,
        pytest.raises(ContestantFailed, match="job 1 started instead of job 0"),
    ):
        measurements.pick_ups(peer, peer, count=1)


def test_a_line_is_taken_by_its_word_whatever_else_is_printed(tmp_path: Path) -> None:
    with talk_with("print('hello\\nstarted 1 1\\nsent 2', flush=True); print('sent 3 4')", tmp_path) as peer:
        assert peer.read_mark("sent", within_seconds=60) == (3, 4)


def test_a_peer_that_hangs_is_not_waited_for(tmp_path: Path) -> None:
    with talk_with("import sys; sys.stdin.read()", tmp_path) as peer:
        with pytest.raises(ContestantFailed, match=r"fewer than 7 jobs started within 0\.01 s"):
            measurements.start(peer, 7, within_seconds=0.01)
        with pytest.raises(ContestantFailed, match=r"did not end within 0\.01 s"):
            peer.wait(within_seconds=0.01)
        with pytest.raises(ContestantFailed, match=r"did not end within 0\.01 s"):
            peer.outcome(within_seconds=0.01)

    assert peer.process.returncode == -9


def test_a_peer_that_ends_is_reported_with_the_line_that_tells_why(tmp_path: Path) -> None:
    script = "import sys; sys.exit('Traceback\\nValueError: no such table\\nbye')"
    with (
        talk_with(script, tmp_path) as peer,
        pytest.raises(ContestantFailed, match="the peer ended: ValueError: no such table"),
    ):
        peer.read_mark("started", within_seconds=60)


def test_the_children_of_a_peer_end_with_it(tmp_path: Path) -> None:
    script = "import os, time\nos.fork() and print('sent 1 1', flush=True)\ntime.sleep(300)"
    with talk_with(script, tmp_path) as peer:
        mark = peer.read_mark("sent", within_seconds=60)
        assert peer.process.stdout is not None
        output = os.dup(peer.process.stdout.fileno())

    readable, _, _ = select.select([output], [], [], 60)
    ended = bool(readable) and os.read(output, 1) == b""
    os.close(output)

    assert mark == (1, 1)
    assert ended, "the child holds the other end of the pipe while it lives"


def test_redis_is_asked_in_its_own_protocol() -> None:
    assert stores.redis_command("EVAL", "return 1", "0") == b"*3\r\n$4\r\nEVAL\r\n$8\r\nreturn 1\r\n$1\r\n0\r\n"
    assert stores.redis_integer(b":42\r\n") == 42
    with pytest.raises(ContestantFailed, match="Redis replied -ERR no such key"):
        stores.redis_integer(b"-ERR no such key\r\n")
    with pytest.raises(ContestantFailed, match="nothing"):
        stores.redis_integer(b"")
