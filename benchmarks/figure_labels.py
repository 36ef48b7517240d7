"""Names of the figures in the tables, and the format of their numbers."""

from benchmarks.stats import Spread

# The figure by which contestants are compared: true if less is better.
LEADING = {"rate": False, "p50_ms": True, "resident_mb": True, "ready_seconds": True}

FIGURES = {
    "submit_ratio": "submit ÷ none",
    "process_ratio": "run ÷ none",
    "resumption_ms": "signal to start, p99 ms",
    "resumed_p50_ms": "resumed p50 ms",
    "resumed_p99_ms": "resumed p99 ms",
    "read_ratio": "read ÷ none",
    "dropping_ratio": "submit while days are dropped ÷ none",
    "rate_to_many": "per second to many",
    "endpoint_p99_ratio": "endpoint's p99 ÷ alone",
    "callback_p99_ratio": "callback's p99 ÷ alone",
    "endpoint_hostile_p99_ratio": "endpoint's p99 with hostile receivers ÷ alone",
    "callback_hostile_p99_ratio": "callback's p99 with hostile receivers ÷ alone",
    "endpoint_received_ratio": "endpoint's share received ÷ alone",
    "callback_received_ratio": "callback's share received ÷ alone",
    "silent_p99_ratio": "p99 with silent connections ÷ alone",
    "half_heads_p99_ratio": "with partial headers ÷ alone",
    "slow_bodies_p99_ratio": "with slow bodies ÷ alone",
    "header_lines_p99_ratio": "with endless headers ÷ alone",
    "silent_grown_mb": "MB growth with silent connections",
    "half_heads_grown_mb": "with partial headers",
    "slow_bodies_grown_mb": "with slow bodies",
    "header_lines_grown_mb": "with endless headers",
    "received_share": "share received",
    "longest_ms": "maximum ms",
    "swallowed": "requests to black holes",
    "stream_p50_ms": "stream p50 ms",
    "stream_p99_ms": "stream p99 ms",
    "other_node_p50_ms": "other node p50 ms",
    "other_node_p99_ms": "other node p99 ms",
    "kept_up_ratio": "ended in time ÷ without",
    "pick_up_p99_ratio": "pick-up p99 ÷ without",
    "drain_ratio": "run afterwards ÷ without",
    "submit_2_to_1": "submit, 2 ÷ 1",
    "process_2_to_1": "run, 2 ÷ 1",
    "submit_4_to_2": "submit, 4 ÷ 2",
    "process_4_to_2": "run, 4 ÷ 2",
    "p99_ratio": "p99 ÷ unloaded",
    "first_refusal_seconds": "s to the first rejection",
    "normal_after_seconds": "s until normal",
    "grown_mb": "MB growth",
    "wal_bytes": "bytes of WAL per job",
    "commits": "commits per job",
    "resident_flat": "memory, last ÷ first third",
    "stream_kib": "KiB for an idle stream",
    "rate": "per second",
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "p99_flat": "p99, last ÷ first third",
    "processed_rate": "run per second",
    "read_rate": "reads per second",
    "read_p99_ms": "read p99 ms",
    "kept_up_share": "share ended in time",
    "pick_up_p50_ms": "pick-up p50 ms",
    "pick_up_p99_ms": "pick-up p99 ms",
    "sustainable_rate": "sustainable per second",
    "accepted_rate": "accepted per second",
    "calm_p99_ms": "unloaded p99 ms",
    "refused_share": "share rejected",
    "retry_after_share": "share of rejections with Retry-After",
    "refusal_p99_ms": "rejection p99 ms",
    "resident_mb": "MB",
    "connections": "connections",
    "connections_flat": "connections, last ÷ first third",
    "dead_tuples": "dead tuples",
    "dead_tuples_flat": "dead tuples, last ÷ first third",
    "ready_seconds": "seconds",
    "p50_flat": "p50, last ÷ first third",
    "rate_flat": "rate, last ÷ first third",
    "errors": "errors",
}


def figure_name(figure: str) -> str:
    return FIGURES.get(figure, figure.replace("_", " "))


def number(value: float) -> str:
    """Formats a number with three significant digits and thousands separators: 12,345 · 12.3 · 1.23."""
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def format_spread(spread: Spread) -> str:
    if spread.rounds == 1 or spread.least == spread.most:
        return number(spread.median)
    return f"{number(spread.median)} ({number(spread.least)}-{number(spread.most)})"
