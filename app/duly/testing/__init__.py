"""Runs a handler in a test, without a service and without a database."""

from duly.testing.child_jobs import SubmittedJob
from duly.testing.recorded_attempt import LogLine
from duly.testing.run_handler import HandlerRun, run_batch_handler, run_handler, run_handler_sync
from duly.testing.steps import SentSignal, Signal

__all__ = [
    "HandlerRun",
    "LogLine",
    "SentSignal",
    "Signal",
    "SubmittedJob",
    "run_batch_handler",
    "run_handler",
    "run_handler_sync",
]
