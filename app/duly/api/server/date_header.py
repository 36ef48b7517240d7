"""The date of responses, computed when one is sent: a timer would wake an idle process every second."""

import time
from email.utils import formatdate

from duly.api.server.uvicorn_internals import ServerState

DATE_SECONDS = 1.0


class DatedState(ServerState):
    """uvicorn's state of a server. Its default headers begin with the date, which is up to a second old."""

    def __init__(self) -> None:
        self._fixed: list[tuple[bytes, bytes]] = []
        self._dated: list[tuple[bytes, bytes]] = []
        self._dated_until = float("-inf")
        super().__init__()

    @property
    def default_headers(self) -> list[tuple[bytes, bytes]]:
        """Headers of each response."""
        now = time.monotonic()
        if now >= self._dated_until:
            self._dated = [(b"date", formatdate(usegmt=True).encode()), *self._fixed]
            self._dated_until = now + DATE_SECONDS
        return self._dated

    @default_headers.setter
    def default_headers(self, fixed: list[tuple[bytes, bytes]]) -> None:
        """Sets the headers after the date."""
        self._fixed = fixed
        self._dated_until = float("-inf")
