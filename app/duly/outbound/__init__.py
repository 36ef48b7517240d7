"""Guarded HTTP client for all outgoing requests.

The address that is checked is the one that is connected to, because the check is where the socket is made. A receiver
can use up one deadline and 64 KiB at most.

The steps of a request: `url` parses and checks the URL, `request` writes the head, `connection_pool` finds an idle
connection or room for a new one, `resolver` looks up the name and checks its addresses, `connector` connects,
`connection` carries the exchange, `response_reader` parses the response. `deadlines` bounds the time.

Reason for not using an HTTP library: a post to a local receiver costs 290 microseconds of CPU time with httpx on
aiohttp, 155 with aiohttp and the same guards, and 19 with this client. A request without redirects, proxies, cookies
and compression leaves little for a library; the difficult part, parsing, is done by llhttp (httptools).
"""

from duly.outbound.client import Method, OutboundClient
from duly.outbound.response import RESPONSE_LIMIT, OutboundCode, OutboundError, OutboundResponse
from duly.outbound.retry_after import retry_after_seconds
from duly.outbound.url import url_refusal

__all__ = [
    "RESPONSE_LIMIT",
    "Method",
    "OutboundClient",
    "OutboundCode",
    "OutboundError",
    "OutboundResponse",
    "retry_after_seconds",
    "url_refusal",
]
