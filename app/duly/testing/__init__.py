"""Runs a handler in a test, without a service and without a database."""

from duly.testing.child_jobs import SubmittedJob
from duly.testing.run_handler import HandlerRun, LogLine, run_batch_handler, run_handler, run_handler_sync

__all__ = ["HandlerRun", "LogLine", "SubmittedJob", "run_batch_handler", "run_handler", "run_handler_sync"]
