"""MariaDB server of the tests, from Debian's package."""

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BINARY = Path("/usr/sbin/mariadbd")
INSTALL = "mariadb-install-db"
START_SECONDS = 60.0


@contextmanager
def running_mariadb(folder: Path) -> Iterator[str]:
    """Yields the URL of a database on a new server, which is reached by a socket only."""
    data, address = folder / "data", folder / "socket"
    # The kernel's number of asynchronous requests is shared by all servers, and too small for several.
    common = ["--no-defaults", f"--datadir={data}", "--innodb-use-native-aio=0"]
    installed = subprocess.run(
        [INSTALL, *common, "--auth-root-authentication-method=normal", "--skip-test-db"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert installed.returncode == 0, installed.stdout + installed.stderr
    server = subprocess.Popen(
        [
            BINARY,
            *common,
            f"--socket={address}",
            "--skip-networking",
            "--user=root",
            "--innodb-flush-log-at-trx-commit=0",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _await_server(address)
        yield f"mysql+pymysql://root@localhost/mysql?unix_socket={address}"
    finally:
        server.terminate()
        server.wait(START_SECONDS)


def _await_server(address: Path) -> None:
    """Waits until the server accepts connections; the driver would leave its socket open after a refused one."""
    until = time.monotonic() + START_SECONDS
    while True:
        with socket.socket(socket.AF_UNIX) as tried:
            if tried.connect_ex(str(address)) == 0:
                return
        assert time.monotonic() < until, f"MariaDB did not start within {START_SECONDS:g} s"
        time.sleep(0.05)
