"""Nodes of a service behind a proxy."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from websockets.asyncio.client import ClientConnection, connect

from tests.support.node_packages import program
from tests.support.proxies import Certificate, Proxy, running_proxy
from tests.support.service import Service, ServiceClient, running_service

KEY = {"Authorization": "Bearer key"}
# Neither the address of the proxies nor one on which they listen.
CLIENT = "127.0.0.5"


@dataclass
class Site(ServiceClient):
    """Service behind a proxy, as its users reach it."""

    certificate: Certificate
    proxy: Proxy
    nodes: list[Service]

    @asynccontextmanager
    async def socket(self, path: str = "/ws/jobs", **headers: str) -> AsyncIterator[ClientConnection]:
        """Opens a WebSocket as a page of this site does, or with other headers."""
        sent = {"Origin": self.url} | KEY | headers
        address = self.url.replace("https", "wss") + path
        async with connect(
            address, ssl=self.certificate.trusting, proxy=None, additional_headers=sent, compression=None
        ) as connection:
            yield connection

    async def curl(self, *arguments: str) -> asyncio.subprocess.Process:
        """Starts curl; an argument that begins with a slash is a path of this site."""
        binary = program("curl", "curl is not on this machine: apt-get install curl")
        named = [self.url + argument if argument.startswith("/") else argument for argument in arguments]
        trusted = ("--cacert", str(self.certificate.folder / "localhost.pem"))
        key = [part for name, value in KEY.items() for part in ("-H", f"{name}: {value}")]
        return await asyncio.create_subprocess_exec(
            binary, "-sS", *trusted, *key, *named, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE
        )


@asynccontextmanager
async def a_node(database_url: str, **settings: Any) -> AsyncIterator[Service]:
    """Starts a node as the page configures it."""
    async with running_service(database_url, api_key="key", trusted_proxies=("127.0.0.1",), **settings) as node:
        node.client.headers.update(KEY)
        yield node


@asynccontextmanager
async def opened_site(
    kind: str, certificate: Certificate, folder: Path, nodes: list[Service], **options: Any
) -> AsyncIterator[Site]:
    """Runs a proxy with options of `running_proxy`."""
    ports = [urlsplit(node.url).port or 0 for node in nodes]
    async with running_proxy(kind, certificate, folder, nodes=ports, **options) as proxy:
        transport = httpx.AsyncHTTPTransport(verify=certificate.trusting, local_address=CLIENT)
        async with httpx.AsyncClient(base_url=proxy.url, headers=KEY, timeout=60, transport=transport) as client:
            yield Site(proxy.url, nodes[0].database_url, client, certificate, proxy, nodes)
