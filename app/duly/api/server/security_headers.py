"""Security headers of responses, and the content security policies of pages.

Every response has `NOSNIFF`, which the server adds. Responses of bare endpoints, such as 202 to a submission, have no
other; all others have `NO_REFERRER` too.
"""

from typing import Final

NOSNIFF: Final = (b"x-content-type-options", b"nosniff")
NO_REFERRER: Final = (b"referrer-policy", b"no-referrer")
# Added to each response by the HTTP server.
SERVER_HEADERS: Final = [(NOSNIFF[0].decode(), NOSNIFF[1].decode())]

_OWN_FILES: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'{styles}; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
POLICY_OF_DASHBOARD: Final = _OWN_FILES.format(styles="")
POLICY_OF_DOCS: Final = _OWN_FILES.format(styles="")
