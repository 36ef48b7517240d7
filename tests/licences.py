"""The page of licences, `docs/reference/licences.md`: those of all packages that `pip install duly` installs, and of
those whose files Duly contains.

python -m tests.licences   rewrites the page; a test compares it with the metadata of the installed packages
"""

import json
import re
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from tests.vendored_assets import LOCKED

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "reference" / "licences.md"
LOCK = ROOT / "requirements" / "runtime.lock"
INTRODUCTION = """\
# Licences

Duly is licensed under the [Apache License 2.0](../../LICENSE). These are the licences of the packages that it installs,
as their own metadata declare them (`python -m tests.licences` generates the page from the locked packages). All permit
commercial use. The embedded PostgreSQL is under the PostgreSQL License. `make sbom` writes the packages with their
versions and hashes as CycloneDX.
"""
VENDORED = """
## Files of other packages

The dashboard and the page of the API contain files of these packages, with their licences beside them.

| package | version | licence |
| --- | --- | --- |
"""
# The spellings of metadata that have no SPDX expression.
_SPDX = {
    "Apache License 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "Apache License, Version 2.0": "Apache-2.0",
    "BSD License": "BSD",
    "BSD-3": "BSD-3-Clause",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "ISC License (ISCL)": "ISC",
    "Python Software Foundation License": "PSF-2.0",
}
PERMITTED = frozenset(
    {"Apache-2.0", "BSD", "BSD-2-Clause", "BSD-3-Clause", "MIT", "MIT-0", "MPL-2.0", "PSF-2.0", "ISC"}
)
_LOCKED = re.compile(r"^([a-z0-9][a-z0-9.-]*)==", re.MULTILINE)


def locked_packages() -> list[str]:
    """Returns the names of the packages in the lock of the service."""
    return _LOCKED.findall(LOCK.read_text())


def licence_of(name: str) -> str | None:
    """Returns the licence of an installed package as an SPDX expression; None for one of another platform."""
    try:
        found = distribution(name)
    except PackageNotFoundError:
        return None
    return _declared(found)


def _declared(package: Distribution) -> str:
    metadata = package.metadata
    if expression := _member(package, "License-Expression"):
        return expression
    classifiers = [text for text in metadata.get_all("Classifier") or [] if text.startswith("License :: ")]
    names = [text.rpartition(" :: ")[2] for text in classifiers] or [_member(package, "License").split("\n")[0]]
    return " OR ".join(_SPDX.get(name, name) for name in names)


def _member(package: Distribution, name: str) -> str:
    return str(package.metadata[name]) if name in package.metadata else ""


def alternatives(licence: str) -> set[str]:
    """Returns the single licences that an expression names."""
    return set(re.split(r" (?:OR|AND) ", licence.replace("(", "").replace(")", "")))


def page() -> str:
    rows = "\n".join([INTRODUCTION, "| package | licence |", "| --- | --- |", *_rows(), ""])
    return rows + VENDORED + "".join(f"| {' | '.join(row)} |\n" for row in vendored_packages())


def vendored_packages() -> list[tuple[str, str, str]]:
    """Returns the npm packages whose files Duly contains: name, version and licence."""
    packages = json.loads((LOCKED / "package-lock.json").read_text())["packages"]
    names = sorted(packages[""]["dependencies"])
    found = [(name, packages[f"node_modules/{name}"]) for name in names]
    return [(name, package["version"], package["license"]) for name, package in found]


def _rows() -> Iterator[str]:
    for name in locked_packages():
        licence = licence_of(name)
        if licence is not None:
            yield f"| {name} | {licence} |"


if __name__ == "__main__":
    PAGE.write_text(page())
