"""Scheduling of the tests over worker processes: tests with an expensive shared fixture run first, on one worker.

Groups are determined by the path of the test, because the mark `xdist_group` of pytest-xdist 3.8.0 has no effect under
pytest 9.2 (see `findings/`): each worker would create every fixture of a module again.
"""

from xdist.scheduler.loadscope import LoadScopeScheduling

# Modules and folders whose tests share a fixture that takes seconds: a benchmark run, a server, a service.
TOGETHER = (
    "tests/benchmarks/test_smoke.py",
    "tests/benchmarks/test_smoke_of_growth.py",
    "tests/benchmarks/test_smoke_of_webhooks.py",
    "tests/browser/",
    "tests/cli/",
    "tests/clients/test_java.py",
    "tests/clients/test_undici.py",
    "tests/demo/test_demo_command.py",
    "tests/faults/test_database_away.py",
    "tests/packaging/",
    "tests/proxies/",
    "tests/embedded/test_server.py",
)


class SharedFixtures(LoadScopeScheduling):  # type: ignore[misc]  # xdist ships no types
    """Distributes single tests, but those of `TOGETHER` by group, with the largest groups first."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


def group_of(nodeid: str) -> str:
    """Returns the group of a test; tests of one group run in sequence on one worker."""
    return next((shared for shared in TOGETHER if nodeid.startswith(shared)), nodeid)
