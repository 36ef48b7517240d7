"""Settings that contradict each other, or that a service needs and does not have."""

from collections.abc import Iterator, Sequence

from duly.domain.durations import duration_words
from duly.domain.web_origin import is_loopback
from duly.lifecycle.maintenance.finding import Finding
from duly.settings import Settings

_DAY_SECONDS = 86_400
# Pairs of settings of which the first is of no use above the second, with what is bounded by both.
_BOUNDED = (
    ("webhook_connect_seconds", "webhook_timeout_seconds", "connecting is part of a delivery attempt"),
    ("parameters_limit", "body_limit", "parameters are part of a body"),
    ("body_limit", "batch_body_limit", "a batch is larger than one of its jobs"),
    ("stream_limit", "connection_limit", "each stream needs a connection"),
    ("connections_per_address", "connection_limit", "the connections of an address count among all"),
)


def settings_findings(settings: Settings, *, unknown: Sequence[str] = ()) -> list[Finding]:
    """Returns a finding for each contradiction.

    Args:
        unknown: environment variables that look like settings, and are none.
    """
    return [
        *(_unknown(name) for name in unknown),
        *_unbounded(settings),
        *_without_effect(settings),
        *_short_retention(settings),
        *_secret_keys(settings),
    ]


def needs_public_url(settings: Settings) -> bool:
    """Returns whether the service cannot know the address for links to people."""
    direct = is_loopback(settings.host) and settings.port and not settings.trusted_proxies
    return settings.public_url is None and not direct


def _unknown(name: str) -> Finding:
    return Finding("SETTING_UNKNOWN", f"{name} is not a setting.", "correct its name, or unset it")


def _unbounded(settings: Settings) -> Iterator[Finding]:
    for lower, upper, reason in _BOUNDED:
        value, bound = getattr(settings, lower), getattr(settings, upper)
        if value is not None and value > bound:
            yield _contradiction(
                f"{_variable(lower)} ({value:,}) is above {_variable(upper)} ({bound:,}), and {reason}.",
                f"lower {_variable(lower)}, or raise {_variable(upper)}",
            )


def _without_effect(settings: Settings) -> Iterator[Finding]:
    if settings.submit_burst is not None and settings.submit_rate is None:
        yield _contradiction(
            "DULY_SUBMIT_BURST has no effect without DULY_SUBMIT_RATE.", "set DULY_SUBMIT_RATE, or unset it"
        )
    if settings.transaction_pooling and settings.database_url is None:
        yield _contradiction(
            "DULY_TRANSACTION_POOLING is set for the embedded PostgreSQL, which no pooler serves.",
            "unset it, or set DULY_DATABASE_URL",
        )


def _short_retention(settings: Settings) -> Iterator[Finding]:
    retrying = sum(settings.webhook_retry_seconds)
    if retrying > settings.retention_days * _DAY_SECONDS:
        yield _contradiction(
            f"Webhooks are retried for {duration_words(retrying)}, and their jobs are deleted after "
            f"{settings.retention_days} days.",
            "raise DULY_RETENTION_DAYS, or shorten DULY_WEBHOOK_RETRY_SECONDS",
        )


def _secret_keys(settings: Settings) -> Iterator[Finding]:
    if settings.secret_keys is None and not is_loopback(settings.host):
        yield Finding(
            "SECRET_KEYS_UNSET",
            f"The service listens on {settings.host}, and its secret keys exist in the data folder only.",
            "set DULY_SECRET_KEYS to the output of `duly secrets new-key`, the same on all nodes",
        )


def _contradiction(reason: str, remedy: str) -> Finding:
    return Finding("SETTINGS_CONTRADICT", reason, remedy)


def _variable(name: str) -> str:
    return f"DULY_{name.upper()}"
