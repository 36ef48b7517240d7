"""Program `python -m tests.chaos.seeded_bugs BUG serve …`: `duly` with a bug in its source, which a run must find.

The bug is made while the module is imported; the product does not contain it.
"""

import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType
from typing import Final, NamedTuple


class Bug(NamedTuple):
    """Text of a module that is replaced, the faults and types (none: all) of a run, and a part of what is found."""

    module: str
    text: str
    replacement: str
    faults: str
    found: str
    types: str = ""


BUGS: Final = {
    # An attempt that has lost its lease records its outcome over that of the next.
    "no-token-check": Bug(
        "duly.store.queue.running",
        "where n.job_id >= t.job_id and n.job_id <= t.job_id and n.token = t.token{{of_tenant}}\n      and n.marks",
        "where n.job_id >= t.job_id and n.job_id <= t.job_id{{of_tenant}}\n      and n.marks",
        faults="isolate",
        types="chaos-long",
        found="has the result of an attempt that had lost its lease",
    ),
    "outbox-skipped": Bug(
        "duly.store.ledger.outbox",
        "and j.callback_url is not null and {asked}",
        "and j.callback_url is not null and false",
        faults="deafen",
        found="was delivered under 0 ids",
    ),
    # 202 leaves before the record of its job is safe.
    "notify-before-commit": Bug(
        "duly.store.postgres.session_settings",
        '"idle_session_timeout": "0",',
        '"idle_session_timeout": "0", "synchronous_commit": "off",',
        faults="crash-database",
        found="was accepted and does not exist",
    ),
    # Streams pass over transactions that commit later than others with a higher id.
    "tail-by-id": Bug(
        "duly.stream.ledger_reader",
        "moment = await read_moment(connection, after=after.tx)\n",
        "moment = (found := await read_moment(connection, after=after.tx))._replace(settled=found.future)\n",
        faults="slow-disk",
        found="did not show",
    ),
}


class _Loader(SourceFileLoader):
    def __init__(self, bug: Bug, path: str) -> None:
        super().__init__(bug.module, path)
        self._bug = bug

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        source = self.get_data(path).decode()
        assert self._bug.text in source, f"{self._bug.module} has no longer the text that this bug replaces"
        return compile(source.replace(self._bug.text, self._bug.replacement), path, "exec", dont_inherit=True)


class _Finder(MetaPathFinder):
    def __init__(self, bug: Bug) -> None:
        self._bug = bug

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self._bug.module:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        assert spec is not None
        assert spec.origin is not None
        return importlib.util.spec_from_file_location(fullname, spec.origin, loader=_Loader(self._bug, spec.origin))


if __name__ == "__main__":
    chosen = BUGS[sys.argv.pop(1)]
    assert chosen.module not in sys.modules
    sys.meta_path.insert(0, _Finder(chosen))
    from duly.__main__ import main

    main()
