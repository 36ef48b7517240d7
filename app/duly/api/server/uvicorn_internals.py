"""The parts of uvicorn that are not public, and the names in them that Duly relies on.

Every other module imports them from here. `pyproject.toml` limits uvicorn to one minor release; before that limit is
raised, `tests/api/server/test_uvicorn_internals.py` compares these names with the new release.
"""

from collections.abc import Mapping
from typing import Final

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState

__all__ = [
    "NAMES",
    "STATUS_LINE",
    "ClientDisconnected",
    "FlowControl",
    "HttpToolsProtocol",
    "RequestResponseCycle",
    "ServerState",
    "WebSocketsSansIOProtocol",
]


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Attributes and methods that are read, set, called or overridden.
NAMES: Final[Mapping[type, frozenset[str]]] = {
    HttpToolsProtocol: _names("""
        _start_asgi_task _unset_keepalive_if_required app_state client config connection_lost connection_made
        connections cycle data_received eof_received expect_100_continue flow headers loop on_body on_header
        on_headers_complete on_message_begin on_message_complete on_response_complete on_url parser
        pause_writing pipeline resume_writing scope server_state shutdown transport url ws_protocol_class
    """),
    RequestResponseCycle: _names("""
        chunked_encoding disconnected keep_alive message_event on_response response_complete response_started
        scope waiting_for_100_continue
    """),
    FlowControl: _names("""
        pause_reading read_paused resume_reading write_paused
    """),
    ServerState: _names("""
        connections default_headers tasks
    """),
    WebSocketsSansIOProtocol: _names("""
        close_sent config conn connection_lost curr_msg_data_type data_received frames handle_connect
        handle_parser_exception handshake_complete handshake_initiated queue scope send
        send_receive_event_to_app transport
    """),
}
