"""Reverse proxies from Debian in front of a service, each configured by its block in docs/deploy/behind-a-proxy.md."""

import os
import re
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from string import Template
from typing import Final

import psutil

from tests.support.node_packages import program
from tests.support.service import eventually
from tests.support.tcp_servers import free_port

_PAGE: Final = Path(__file__).parents[2] / "docs" / "deploy" / "behind-a-proxy.md"
_FRAMES: Final = Path(__file__).parent / "proxy_frames"
_BLOCK: Final = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_UNDER_A_PATH: Final = re.compile(r"^\| (\w+) \| `(.+?)` \| `(.+?)` \|$", re.MULTILINE)
START_SECONDS: Final = 60.0
STOP_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Kind:
    """Program, package and command line of a proxy, and in `places` the lines of its block with the port to listen on.

    `{0}` is the configuration file. `as_root`: started by root, it would drop privileges and could not read the folders
    of the tests.
    """

    name: str
    program: str
    package: str
    arguments: Sequence[str]
    places: Mapping[str, str]
    as_root: str = ""


_CERTIFICATE: Final = "/etc/ssl/jobs.example.com.pem"
_PRIVATE_KEY: Final = "/etc/ssl/jobs.example.com.key"
_NAME: Final = "jobs.example.com"
KINDS: Final = {
    kind.name: kind
    for kind in (
        Kind(
            *("nginx", "nginx", "nginx-light", ("-e", "stderr", "-p", ".", "-c", "{0}")),
            {"listen 443": "listen 127.0.0.1:{port}", _NAME: "localhost"},
            as_root="user root;",
        ),
        Kind(
            *("apache", "apache2", "apache2-bin", ("-DFOREGROUND", "-f", "{0}")),
            {"*:443": "*:{port}", _NAME: "localhost"},
            as_root="User www-data\nGroup www-data",
        ),
        Kind(
            *("haproxy", "haproxy", "haproxy", ("-db", "-f", "{0}")),
            {_CERTIFICATE: "{folder}/both.pem", "bind :443": "bind 127.0.0.1:{port}", _NAME: "localhost"},
        ),
        Kind(
            *("caddy", "caddy", "caddy", ("run", "--adapter", "caddyfile", "--config", "{0}")),
            {f"{_NAME} {{": "localhost:{port} {{\nbind 127.0.0.1\nencode gzip"},
        ),
        Kind(
            *("lighttpd", "lighttpd", "lighttpd lighttpd-mod-openssl", ("-D", "-f", "{0}")),
            {'":443"': '"127.0.0.1:{port}"'},
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Certificate:
    """Self-signed certificate of `localhost`."""

    folder: Path

    @property
    def trusting(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.folder / "localhost.pem")


@dataclass(frozen=True, slots=True)
class Proxy:
    """Running proxy."""

    kind: Kind
    url: str
    process: "subprocess.Popen[bytes]"
    log: Path


def make_certificate(folder: Path) -> Certificate:
    """Creates the certificate, its key and a file with both."""
    openssl = program("openssl", "the tests of TLS make certificates with openssl: apt-get install openssl")
    new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    named = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    files = ["-keyout", "localhost.key", "-out", "localhost.pem"]
    subprocess.run([openssl, "req", "-x509", *new, *named, *files], cwd=folder, check=True, capture_output=True)
    both = [(folder / name).read_text() for name in ("localhost.pem", "localhost.key")]
    (folder / "both.pem").write_text("".join(both))
    return Certificate(folder)


@cache
def blocks() -> Mapping[str, str]:
    """Returns the blocks of the page by their language, which is the name of the proxy."""
    return {name: text for name, text in _BLOCK.findall(_PAGE.read_text()) if name in KINDS}


def printed(language: str, beginning: str) -> str:
    """Returns the block of the page in this language that contains this text."""
    found: list[str] = [
        text for name, text in _BLOCK.findall(_PAGE.read_text()) if name == language and beginning in text
    ]
    assert len(found) == 1, found
    return found[0]


@cache
def under_a_path() -> Mapping[str, tuple[str, str]]:
    """Returns the text that a service under a path replaces in each block, and its replacement, from the page."""
    return {name.lower(): (before, after) for name, before, after in _UNDER_A_PATH.findall(_PAGE.read_text())}


def replaced(text: str, changes: Mapping[str, str]) -> str:
    """Returns the text after these replacements in one pass; each must match."""
    for before in changes:
        assert before in text, f"{before!r} is not in the block"
    return re.sub("|".join(map(re.escape, changes)) or "(?!)", lambda found: changes[found[0]], text)


def configuration(
    kind: str,
    certificate: Certificate,
    *,
    port: int,
    nodes: Sequence[int],
    changes: Mapping[str, str] | None = None,
    checks: str = "/healthz",
) -> str:
    """Returns the configuration: the block of the page with ports, files and name of this test, for any user.

    Its checks ask for `checks`: a node whose database is slow for seconds is not ready, and would be left out.
    """
    chosen = KINDS[kind]
    block = replaced(blocks()[kind], changes or {}).replace("/readyz", checks)
    files = {_CERTIFICATE: "{folder}/localhost.pem", _PRIVATE_KEY: "{folder}/localhost.key", **chosen.places}
    places = {
        before: after.format(folder=certificate.folder, port=port) for before, after in files.items() if before in block
    }
    assert places.keys() >= chosen.places.keys(), f"the block of {kind} listens elsewhere"
    # In one pass, the first match counts: file names contain the name of the site.
    ordered = dict(sorted(places.items(), key=lambda place: -len(place[0])))
    block = replaced(block, ordered | {"8000": str(nodes[0]), "8001": str(nodes[-1])})
    frame = Template((_FRAMES / f"{kind}.conf").read_text())
    return frame.substitute(block=block, port=port, user="" if os.geteuid() else chosen.as_root)


@asynccontextmanager
async def running_proxy(
    kind: str,
    certificate: Certificate,
    folder: Path,
    *,
    nodes: Sequence[int],
    changes: Mapping[str, str] | None = None,
    checks: str = "/healthz",
) -> AsyncIterator[Proxy]:
    """Runs a proxy before these ports for the length of the block. `changes` are applied to its configuration, and it
    checks the nodes at `checks`.
    """
    chosen = KINDS[kind]
    missing = f"{chosen.program} is not on this machine: apt-get install {chosen.package}"
    binary = program(chosen.program, missing)
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    path = folder / "configuration"
    path.write_text(configuration(kind, certificate, port=port, nodes=nodes, changes=changes, checks=checks))
    log = folder / "log"
    arguments = [argument.format(path) for argument in chosen.arguments]
    environment = os.environ | {"HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [binary, *arguments], cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        await _listens(port, process, log)
        yield Proxy(chosen, f"https://localhost:{port}", process, log)
    finally:
        _stop(process)


async def _listens(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    async def look() -> bool:
        assert process.poll() is None, f"the proxy ended: {log.read_text()}"
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    await eventually(look, seconds=START_SECONDS)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """Stops a proxy and kills its own processes, for which Apache would wait for up to ten seconds."""
    children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    process.terminate()
    for child in children:
        with suppress(psutil.NoSuchProcess):
            child.kill()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
