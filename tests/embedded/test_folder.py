"""The folders that the embedded server refuses, each with a sentence that helps; no server is started here."""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from duly.embedded.folder import open_folder
from duly.embedded.server import EmbeddedError, embedded_server


@pytest.fixture
def fresh() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="duly-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_data_of_another_major_version_is_refused_and_both_are_named(fresh: Path) -> None:
    (fresh / "postgres").mkdir()
    (fresh / "postgres" / "PG_VERSION").write_text("15\n")
    with pytest.raises(EmbeddedError, match=r"of PostgreSQL 15, but this is PostgreSQL 18: .*pg_dump.*DULY_DATA_DIR"):
        embedded_server(fresh).__enter__()


def test_a_folder_of_something_else_is_refused_and_kept(fresh: Path) -> None:
    (fresh / "postgres").mkdir()
    (fresh / "postgres" / "letter.txt").write_text("dear")
    with pytest.raises(EmbeddedError, match="not PostgreSQL data"):
        embedded_server(fresh).__enter__()
    assert (fresh / "postgres" / "letter.txt").read_text() == "dear"


def test_a_data_folder_that_cannot_be_made_is_refused(fresh: Path) -> None:
    (fresh / "file").touch()
    with pytest.raises(EmbeddedError, match=r"cannot be used \(Not a directory: .*DULY_DATA_DIR"):
        embedded_server(fresh / "file" / "data").__enter__()


@pytest.mark.skipif(os.geteuid() != 0, reason="only for root does the server run as another user")
def test_a_data_folder_closed_to_the_server_s_user_is_refused_and_stays_closed(fresh: Path) -> None:
    closed = fresh / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(EmbeddedError, match=rf"The folder {closed} is not accessible .*chmod o\+x {closed}`"):
        embedded_server(closed / "data").__enter__()
    assert closed.stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only for root does the server run as another user")
def test_the_data_folder_of_root_lets_the_server_enter_and_keeps_its_secrets(
    fresh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service with a database of its own makes this folder for its secrets, before a demo starts a server below."""
    default, secret = fresh / "default", fresh / "default" / "secret-keys"
    default.mkdir(mode=0o700)
    secret.touch(mode=0o600)
    monkeypatch.setattr("duly.embedded.folder.ROOT_DATA_DIR", default)
    assert open_folder(default / "demo").cluster == default / "demo" / "postgres"
    assert default.stat().st_mode & 0o777 == 0o701
    assert secret.stat().st_mode & 0o777 == 0o600


def test_a_full_disk_is_named(fresh: Path) -> None:
    (fresh / "postgres").mkdir()
    (fresh / "postgres" / "PG_VERSION").write_text("18\n")
    (fresh / "locks").mkdir()
    (fresh / "locks" / "duly.conf").symlink_to("/dev/full")
    with pytest.raises(EmbeddedError, match=f"The disk of {fresh} is full"):
        embedded_server(fresh).__enter__()


def test_a_path_that_an_address_would_misread_gets_a_plain_one(fresh: Path) -> None:
    sockets = open_folder(fresh / "a, b & c").sockets
    assert re.fullmatch(r"[a-z0-9/-]+", str(sockets))
    assert sockets == open_folder(fresh / "a, b & c").sockets
    sockets.rmdir()
