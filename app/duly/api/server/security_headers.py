"""Security headers of responses, and the content security policy of `/docs`.

Every response has `NOSNIFF`, which the server adds. Responses of bare endpoints, such as 202 to a submission, have no
other; all others have `NO_REFERRER` too.
"""

import base64
import hashlib
import re
from typing import Final

NOSNIFF: Final = (b"x-content-type-options", b"nosniff")
NO_REFERRER: Final = (b"referrer-policy", b"no-referrer")
# Added to each response by the HTTP server.
SERVER_HEADERS: Final = [(NOSNIFF[0].decode(), NOSNIFF[1].decode())]

_INLINE: Final = re.compile(r"<script>(.*?)</script>", re.DOTALL)
# Locations of Swagger UI and its icon in FastAPI's page.
_SWAGGER: Final = "https://cdn.jsdelivr.net/npm/swagger-ui-dist@5/"
_ICON: Final = "https://fastapi.tiangolo.com/img/"


def policy_of_docs(page: str) -> str:
    """Returns the `Content-Security-Policy` of the Swagger UI page. Its inline script is allowed by hash."""
    digests = (hashlib.sha256(script.encode()).digest() for script in _INLINE.findall(page))
    scripts = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {scripts} {_SWAGGER}",
            f"style-src 'unsafe-inline' {_SWAGGER}",  # Swagger UI sets styles on its elements
            f"img-src 'self' data: {_ICON}",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )
