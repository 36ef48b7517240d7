"""Scheduling of the tests over worker processes: the tests of a file run on one worker and share its fixtures.

Groups are determined by the path of the test, because the mark `xdist_group` of pytest-xdist 3.8.0 has no effect under
pytest 9.2 (see `findings/`). If single tests went to any free worker, each worker would create every fixture of a
module again: a service, a server, the outcomes of a thousand requests, a compiled program.
"""

import re

import pytest
from xdist.remote import Producer
from xdist.scheduler.loadscope import LoadScopeScheduling

# Files and folders whose tests share a fixture that takes seconds: a benchmark run, a server, a service.
TOGETHER = (
    "tests/benchmarks/test_smoke.py",
    "tests/benchmarks/test_smoke_of_growth.py",
    "tests/benchmarks/test_smoke_of_webhooks.py",
    "tests/faults/test_database_away.py",
    "tests/faults/test_held_stream.py",
    "tests/typescript/",
    "tests/proxies/",
    "tests/packaging/",
    "tests/relay/",
    "tests/cli/",
    "tests/browser/",
    "tests/clients/test_example_workers.py",
    "tests/clients/test_java.py",
    "tests/clients/test_undici.py",
    "tests/demo/test_demo_command.py",
    "tests/embedded/test_server.py",
)
# Tests that wait for minutes.
LONGEST = ("tests/chaos/test_short_form.py",)
# Tests and files of ten seconds of processor time and more that are not kept together.
LONG = (
    "tests/django/test_djangos_own_tests.py",
    "tests/faults/test_kill_nine_of",
    "tests/faults/test_rolling_upgrade.py",
    "tests/faults/test_submitting_in_a_transaction.py",
    "tests/faults/test_workers_over_http.py",
    "tests/api/test_fuzzing.py",
    "tests/lifecycle/claim/test_limits.py",
    "tests/lifecycle/maintenance/test_repair.py",
    "tests/lifecycle/writes/test_thrown_errors.py",
    "tests/openapi/",
    "tests/property/",
    "tests/webhooks/test_isolation.py",
    "tests/webhooks/test_snippets.py",
    "tests/worker/process/test_crashing_children.py",
)
# Files and folders whose tests take seconds each and share nothing: any free worker takes the next one.
APART = (
    "tests/faults/",
    "tests/property/",
    "tests/api/test_fuzzing.py",
    "tests/store/read/test_list_jobs.py",
    "tests/store/webhooks/test_delivery_lists.py",
    "tests/documentation/test_code_blocks.py",
    "tests/documentation/test_tutorial",
)
# Of these, tests that wait longer than they compute: for leases, retries and restarts. They run among the others, since
# beside each other, at the end of the run, they would leave the processors idle.
WAITING = ("tests/faults/", "tests/documentation/test_tutorial")
# Tests of a file on this server are a group of their own: no fixture of a service or a database spans two servers.
SECOND_SERVER = re.compile(r"\b(system|npm) \d+\b")


class SharedFixtures(LoadScopeScheduling):  # type: ignore[misc]  # xdist ships no types
    """Distributes groups of tests in the order of the collection."""

    def __init__(self, config: pytest.Config, log: Producer) -> None:
        # It would order groups by their number of tests, which says little about the time that they take.
        config.option.loadscopereorder = False
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


def group_of(nodeid: str) -> str:
    """Returns the group of a test; tests of one group run in sequence on one worker."""
    if shared := next((shared for shared in TOGETHER if nodeid.startswith(shared)), None):
        return shared
    if nodeid.startswith(APART):
        return nodeid
    file = nodeid.partition("::")[0]
    found = SECOND_SERVER.search(nodeid)
    return f"{file} on {found[0]}" if found else file


def start_order(nodeid: str) -> int:
    """Returns a rank: long groups start first, and single tests last, since these keep all workers busy to the end."""
    if nodeid.startswith(LONGEST):
        return -1
    if nodeid.startswith(TOGETHER + LONG):
        return 0
    return 2 if nodeid.startswith(APART) and not nodeid.startswith(WAITING) else 1
