"""Starting: what is wrong is said in one line that names it and what to do, and nothing secret with it."""

import json
import re
import shutil
import signal
import socket

import pytest

from duly import __version__
from duly.cli import server_process
from duly.cli.prepare_database import CannotServe
from duly.cli.startup import Startup
from duly.settings import Settings
from tests.support.postgres_servers import Server, open_folder
from tests.support.service import SECRET_KEYS, eventually
from tests.support.service_process import Command, Processes

# The behavior of a process does not depend on the server's version.
pytestmark = pytest.mark.parametrize("server", ["embedded 18"], indirect=True, scope="session")

PASSWORD = "s3cret-pass"
NOWHERE = f"postgresql://duly:{PASSWORD}@127.0.0.1:1/duly"
AWAITED = '"action": "database_awaited"'
AT_ONCE = {"DULY_DATABASE_WAIT_SECONDS": "0"}


async def _refusal(command: Command, code: int) -> str:
    """The one line in which the command says why it ended."""
    assert await command.ended() == code, command.stderr
    assert command.stdout == ""
    assert PASSWORD not in command.stderr
    *logged, line = [each for each in command.stderr.splitlines() if AWAITED not in each]  # a slow machine may log it
    assert line.startswith("duly: ")
    assert len(logged) <= 2, logged  # the settings and the job types of the start
    return line


WRONG = {
    "no key beyond loopback": (("--host", "0.0.0.0"), {}, 1, "DULY_API_KEY"),
    "no such module": (("--handlers", "no_such_module"), {}, 1, 'cannot import module "no_such_module"'),
    "no handlers in it": (("--handlers", "json"), {}, 1, "json"),
    "no such server": ((), {}, 1, "the database cannot be reached.*check DULY_DATABASE_URL"),
    "no such host": ((), {"DULY_DATABASE_URL": f"postgresql://u:{PASSWORD}@nowhere.invalid/x"}, 1, "cannot be reached"),
    "no URL": ((), {"DULY_DATABASE_URL": f"u:{PASSWORD}@host"}, 2, "DULY_DATABASE_URL.*postgresql://"),
    "a port of letters": ((), {"DULY_DATABASE_URL": f"postgresql://u:{PASSWORD}@h:x/d"}, 2, "DULY_DATABASE_URL"),
    "another database": ((), {"DULY_DATABASE_URL": f"mysql://u:{PASSWORD}@h/d"}, 2, "DULY_DATABASE_URL"),
    "an unknown option": ((), {"DULY_DATABASE_URL": f"{NOWHERE}?bogus=1"}, 2, "DULY_DATABASE_URL.*'bogus'"),
    "no such certificate": (
        (),
        {"DULY_DATABASE_URL": f"{NOWHERE}?sslrootcert=/no"},
        2,
        "'sslrootcert'.*/no",
    ),
    "a standby": ((), {"DULY_DATABASE_URL": f"{NOWHERE}?target_session_attrs=standby"}, 2, "'target_session_attrs'"),
    "no schema": ((), {"DULY_DATABASE_SCHEMA": "pg_own"}, 2, "DULY_DATABASE_SCHEMA.*pg_own"),
    "a port out of range": (("--port", "99999"), {}, 2, "DULY_PORT.*65535"),
    "a role that is none": ((), {"DULY_ROLES": "api,cook"}, 2, "DULY_ROLES.*'worker'"),
    "no network": ((), {"DULY_WEBHOOK_ALLOW_NETWORKS": "10.0.0.0/99"}, 2, "DULY_WEBHOOK_ALLOW_NETWORKS"),
    "a lease of nothing": ((), {"DULY_LEASE_SECONDS": "0"}, 2, "DULY_LEASE_SECONDS.*1"),
    "no built-in type": (
        (),
        {"DULY_BUILTIN_TYPES": "echo,slep"},
        2,
        "DULY_BUILTIN_TYPES.*'slep' is not a built-in.*echo, http.request, sleep",
    ),
    "none and a type": ((), {"DULY_BUILTIN_TYPES": "none,echo"}, 2, "DULY_BUILTIN_TYPES.*'none' must be the only"),
    "reload in many processes": (("--reload", "--processes", "2"), {}, 2, "--reload runs one process"),
    "a level that is none": ((), {"DULY_LOG_LEVEL": "loud"}, 2, "DULY_LOG_LEVEL.*'debug'"),
}


@pytest.mark.parametrize(("arguments", "variables", "code", "words"), WRONG.values(), ids=WRONG.keys())
async def test_what_is_wrong_is_said_in_one_line(
    server: Server,
    processes: Processes,
    arguments: tuple[str, ...],
    variables: dict[str, str],
    code: int,
    words: str,
) -> None:
    line = await _refusal(processes.begin(NOWHERE, *arguments, **AT_ONCE, **variables), code)
    assert re.search(words, line)


async def test_a_port_that_is_taken_is_named(server: Server, processes: Processes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        line = await _refusal(processes.run("serve", "--port", port, DULY_DATABASE_URL=NOWHERE), 1)
    assert port in line
    assert "--port" in line


async def test_a_server_that_refuses_the_user_or_lacks_the_database_is_no_traceback(
    server: Server, processes: Processes
) -> None:
    lacking = processes.begin(server.url_of("no_such_database"))
    refusing = processes.begin(server.url_of("postgres").replace("postgres@", f"nobody:{PASSWORD}@", 1))
    migrating = processes.run("migrate", DULY_DATABASE_URL=NOWHERE)
    assert '"no_such_database" does not exist' in await _refusal(lacking, 1)
    assert "nobody" in await _refusal(refusing, 1)
    assert "cannot be reached" in await _refusal(migrating, 1)


async def test_a_service_refuses_to_start_on_a_database_that_is_behind_and_says_what_to_run(
    empty_database_url: str, processes: Processes
) -> None:
    line = await _refusal(processes.begin(empty_database_url), 1)
    assert "duly migrate" in line
    assert "duly serve --migrate" in line
    service = await processes.serve(empty_database_url, "--migrate")
    assert (await service.run("quick"))["status"] == "completed"
    again = processes.run("migrate", DULY_DATABASE_URL=empty_database_url)
    assert await again.ended() == 0
    assert again.stdout == "the database is up to date\n"


async def test_migrate_brings_an_empty_database_to_where_a_service_starts(
    empty_database_url: str, processes: Processes
) -> None:
    migrated = processes.run("migrate", DULY_DATABASE_URL=empty_database_url)
    assert await migrated.ended() == 0, migrated.stderr
    assert migrated.stdout.startswith("migrated: ")
    service = await processes.serve(empty_database_url)
    assert await eventually(service.is_ready)


async def test_on_a_database_that_a_newer_release_expanded_nodes_serve_on_and_start(
    database_url: str, processes: Processes
) -> None:
    """A rolling upgrade migrates while nodes of the older release serve; they may be started again until replaced."""
    older = await processes.serve(database_url)
    [[revision]] = await older.sql("select version_num from alembic_version")
    await older.sql("update alembic_version set version_num = '9999'")
    assert await eventually(older.is_ready)
    started = await processes.serve(database_url)
    assert await eventually(started.is_ready)
    assert (await started.run("quick"))["status"] == "completed"
    warned = [line for line in started.command.stderr.splitlines() if '"database_newer"' in line]
    assert "9999" in warned[0]
    await older.sql("update alembic_version set version_num = $1", revision)


async def test_a_database_that_a_newer_release_took_something_from_is_not_started_on(
    database_url: str, processes: Processes
) -> None:
    older = await processes.serve(database_url)
    [[revision]] = await older.sql("select version_num from alembic_version")
    await older.sql("update alembic_version set version_num = '9999'")
    await older.sql("insert into contractions values ('9998')")
    assert "newer" in await _refusal(processes.begin(database_url), 1)
    await older.sql("update alembic_version set version_num = $1", revision)


async def test_the_address_is_the_last_word_of_the_only_line_on_standard_output(
    database_url: str, processes: Processes
) -> None:
    service = await processes.serve(database_url, DULY_WORKER_SLOT="3")
    assert (await service.run("quick"))["status"] == "completed"
    assert await service.stop() == 0
    [line] = service.command.stdout.splitlines()
    assert line.split()[-1] == service.url
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", service.url)
    # A variable that means nothing is a typing error, and said to be one.
    lines = map(json.loads, service.command.stderr.splitlines())
    [warning] = [entry for entry in lines if entry["action"] == "settings_unknown"]
    assert (warning["names"], warning["level"]) == (["DULY_WORKER_SLOT"], "warning")


async def test_what_is_started_is_reported_in_one_structured_line(database_url: str, processes: Processes) -> None:
    variables = {"DULY_API_KEY": "k" * 32, "DULY_BUILTIN_TYPES": "echo", "DULY_HANDLERS": "tests.support.step_parents"}
    service = await processes.serve(database_url, "--slots", "7", "--role", "api", "--role", "worker", **variables)
    logged = [json.loads(line) for line in service.command.stderr.splitlines()]
    [line] = [line for line in logged if line["action"] == "starting"]
    assert line["version"] == __version__
    assert line["database"].startswith("postgresql://postgres@/test_")
    assert line["handlers"] == ["tests.support.step_parents"]
    assert "echo" in line["jobTypes"]
    assert "sleep" not in line["jobTypes"]
    assert (line["roles"], line["slots"], line["processes"]) == (["api", "worker"], 7, 1)
    assert line["keyRequired"] is True
    assert (line["dashboard"], line["docs"]) == (f"{service.url}/ui", f"{service.url}/docs")
    assert "k" * 32 not in service.command.stderr


async def test_a_terminal_gets_a_short_report_that_names_where_the_database_is(
    server: Server, processes: Processes
) -> None:
    """Printed also where the database cannot be used, since its address may be wrong."""
    command = processes.begin(NOWHERE, DULY_LOG_FORMAT="console", **AT_ONCE)
    assert await command.ended() == 1
    title, *rows, failure = command.stderr.splitlines()
    assert title == f"Duly {__version__}"
    assert "  database   postgresql://duly@127.0.0.1:1/duly" in rows
    assert "  handlers   tests.support.process_handlers" in rows
    assert any(row.startswith("  API docs   http://127.0.0.1:") and row.endswith("/docs") for row in rows)
    assert failure.startswith("duly: the database cannot be reached")
    assert PASSWORD not in command.stderr
    assert command.stdout == ""


async def test_one_of_several_processes_reports_the_start(database_url: str, processes: Processes) -> None:
    service = await processes.serve(database_url, "--processes", "2")
    assert service.command.stderr.count('"action": "starting"') == 1


async def test_a_start_waits_for_the_database_says_so_once_and_gives_up_in_time(
    server: Server, processes: Processes
) -> None:
    command = processes.begin(NOWHERE, DULY_DATABASE_WAIT_SECONDS="8")
    assert await command.ended() == 1
    waiting, _report, last = command.stderr.splitlines()
    assert AWAITED in waiting
    assert "check DULY_DATABASE_URL" in waiting
    assert last.startswith("duly: the database cannot be reached")
    assert PASSWORD not in command.stderr


@pytest.mark.parametrize("arguments", [(), ("--processes", "2"), ("--host", "0.0.0.0")])
async def test_a_start_that_waits_for_the_database_is_stopped_by_a_signal(
    server: Server, processes: Processes, arguments: tuple[str, ...]
) -> None:
    command = processes.begin(NOWHERE, *arguments)

    async def wait() -> bool:
        return command.stderr.count(AWAITED) == 1 + ("2" in arguments)

    await eventually(wait)
    command.signal(signal.SIGTERM)
    # Beyond loopback, the database is asked for keys before there is anything to stop in order.
    assert await command.ended() in ({0} if "--host" not in arguments else {-signal.SIGTERM})
    assert command.stdout == ""


async def test_data_of_another_major_version_is_left_alone(
    server: Server, processes: Processes, request: pytest.FixtureRequest
) -> None:
    folder = open_folder()
    request.addfinalizer(lambda: shutil.rmtree(folder))
    marker = folder / "postgres" / "PG_VERSION"
    marker.parent.mkdir()
    marker.write_text("16\n")
    line = await _refusal(processes.begin("", "--data-dir", str(folder)), 1)
    assert "PostgreSQL 16" in line
    assert "DULY_DATA_DIR" in line
    assert list(marker.parent.iterdir()) == [marker]


async def test_version_and_help_answer_without_a_service(server: Server, processes: Processes) -> None:
    version, helped, flags = processes.run("--version"), processes.run("--help"), processes.run("serve", "--help")
    for command in (version, helped, flags):
        assert await command.ended() == 0
        assert command.stderr == ""
    assert version.stdout == f"duly {__version__}\n"
    assert all(name in helped.stdout for name in ("serve", "migrate", "demo", "submit", "watch", "status", "cancel"))
    assert "--database-url" in flags.stdout


async def test_a_service_that_cannot_listen_says_why_and_announces_nothing(database_url: str) -> None:
    closed = socket.socket()
    closed.close()
    announced: list[str] = []
    settings = Settings(handlers=("tests.support.handlers",))
    startup = Startup(settings, database_url, "whsec_dGVzdA==", secret_keys=SECRET_KEYS, migrates=False)
    serve = server_process._serve(startup, closed, announce=lambda: announced.append("ready"), server=None, parent=None)
    with pytest.raises(CannotServe, match=r"stopped during its start: .*descriptor"):
        await serve
    assert announced == []
