"""The demo as a newcomer runs it: `duly demo`, on a service and a database of its own."""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

COMMAND = [sys.executable, "-m", "duly", "demo"]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)  # PostgreSQL runs as another user where the tests run as root
        yield Path(name)


def environment(data_dir: Path) -> dict[str, str]:
    outer = {name: value for name, value in os.environ.items() if not name.startswith("DULY_")}
    return outer | {
        "DULY_DATA_DIR": str(data_dir),
        "DULY_DATABASE_URL": "postgresql://the-users-own/must-stay-untouched",
    }


def test_the_demo_shows_a_jobs_whole_life_and_leaves_its_report(folder: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "--output", str(tmp_path)],
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert re.findall(r"^(\d)\. ", done.stdout, re.MULTILINE) == list("1234567")
    assert "Both signatures are valid" in done.stdout and "JobCompleted" in done.stdout
    assert [file.suffix for file in tmp_path.iterdir()] == [".html"]


def test_a_service_that_cannot_start_is_told_with_its_own_words(tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.touch()
    done = subprocess.run(
        COMMAND, env=environment(in_the_way), cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("duly: the service ended with exit code")
    assert str(in_the_way) in done.stderr and "Traceback" not in done.stderr


def test_a_demo_told_to_go_stops_its_service(folder: Path, tmp_path: Path) -> None:
    with subprocess.Popen(COMMAND, env=environment(folder), cwd=tmp_path, stdout=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None
        url = next(line.split()[5].rstrip(";") for line in demo.stdout if "The service is ready on" in line)
        demo.send_signal(signal.SIGTERM)
        assert demo.wait(120) == 128 + signal.SIGTERM
    address = urlsplit(url)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((str(address.hostname), int(address.port or 0)), timeout=5)
