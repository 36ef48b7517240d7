"""Results for a peer that cannot be installed; a partial environment is never used."""

import sys
from pathlib import Path

import pytest

from benchmarks.contestants import Contestant
from benchmarks.peers import environments, measurements, stores
from benchmarks.peers.catalog import PEERS, Peer
from benchmarks.postgres_server import Server
from benchmarks.processes import ContestantFailed
from benchmarks.rounds import Round, alternate
from benchmarks.run_context import Kind, RunContext, Sizes


def peer(name: str) -> Peer:
    return next(each for each in PEERS if each.name == name)


@pytest.fixture(autouse=True)
def installed_under(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in place of the real one, and nothing remembered from another test."""
    folder = tmp_path / "benchmarks" / ".peers"
    folder.parent.mkdir()
    monkeypatch.setattr(environments, "ENVIRONMENTS", folder)
    monkeypatch.setattr(environments, "HERE", tmp_path / "benchmarks" / "peers")
    monkeypatch.setattr(environments, "_environment", environments._environment.__wrapped__)
    return folder


@pytest.fixture
def empty_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.mark.usefixtures("empty_path")
def test_without_npm_the_reason_says_how_to_get_it() -> None:
    with pytest.raises(ContestantFailed, match=r"not installed: npm is not on PATH .*apt-get install npm"):
        environments.installed(peer("pg-boss"))


@pytest.mark.usefixtures("empty_path")
def test_without_redis_the_reason_says_how_to_get_it(tmp_path: Path) -> None:
    context = RunContext(Server(0, str), tmp_path, Sizes())

    with (
        pytest.raises(ContestantFailed, match=r"redis-server is not on PATH .*apt-get install redis-server"),
        stores.store_of(peer("arq"), context),
    ):
        pass


@pytest.mark.usefixtures("empty_path")
def test_a_peer_that_cannot_be_had_is_shown_with_the_reason_and_does_not_end_the_run(tmp_path: Path) -> None:
    context = RunContext(Server(0, str), tmp_path, Sizes(rounds=2))
    boss = peer("pg-boss")

    def one_round(contestant: Contestant) -> Round:
        return measurements.processed(boss, context) if contestant.peer else Round({"rate": 1.0})

    contestants = [Contestant("pg-boss", Kind.PEER, peer=boss), Contestant("naive", Kind.NAIVE)]
    shown = alternate("S3", contestants, context=context, measure=one_round)

    assert shown[0].failure is not None
    assert "npm is not on PATH" in shown[0].failure
    assert len(shown[1].rounds) == 2


def test_a_python_that_is_too_old_is_said_to_be(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))

    assert environments.python_from((3, 11)) == sys.executable
    with pytest.raises(ContestantFailed, match=r"Python 3\.90 or newer is required"):
        environments.python_from((3, 90))


def test_what_the_installer_said_stands_in_the_reason() -> None:
    script = "import sys; sys.exit('error: no route\\nto the index')"

    with pytest.raises(ContestantFailed, match="ended with 1: error: no route to the index"):
        environments.run([sys.executable, "-c", script])


def test_half_an_environment_is_removed_and_a_whole_one_is_used_again(
    installed_under: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Path] = []

    def install(name: str, folder: Path) -> None:
        (folder / "bin").mkdir(parents=True)
        made.append(folder)
        if len(made) == 1:
            raise ContestantFailed("the network went away")

    monkeypatch.setattr(environments, "_install_python_packages", install)
    with pytest.raises(ContestantFailed, match="not installed: the network went away"):
        environments.installed(peer("arq"))
    left_behind = list(installed_under.iterdir())
    first, second = environments.installed(peer("arq")), environments.installed(peer("arq"))

    assert left_behind == []
    assert first == second
    assert first.program.parent.is_dir()
    assert len(made) == 2


def test_another_lock_makes_another_environment(
    installed_under: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def install(name: str, folder: Path) -> None:
        folder.mkdir()

    lock = tmp_path / "arq.lock"
    lock.write_text("arq==1")
    monkeypatch.setattr(environments, "REQUIREMENTS", tmp_path)
    monkeypatch.setattr(environments, "_install_python_packages", install)
    before = environments.installed(peer("arq"))
    lock.write_text("arq==2")
    after = environments.installed(peer("arq"))

    assert before != after
    assert [folder.name for folder in installed_under.iterdir()] == [after.modules.name]
