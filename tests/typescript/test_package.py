"""The package of the TypeScript client: its types, its contents and its size."""

import gzip
import json
from pathlib import Path

from tests.support.typescript_client import npm, run_package
from tests.typescript_types import PACKAGE, TYPES, generated_types

MOST_BYTES = 15 * 1024


def test_its_code_is_formatted_and_has_no_findings(package: Path) -> None:
    run_package("biome", "ci", ".", cwd=package)


def test_its_types_are_those_of_the_service(package: Path) -> None:
    assert generated_types(package) == TYPES.read_text(), "The OpenAPI document has changed: run `make client-types`."


def test_it_contains_what_a_user_needs_and_no_dependency(package: Path) -> None:
    packed = json.loads(npm("pack", "--dry-run", "--json", "--ignore-scripts", cwd=package))[0]
    files = {file["path"] for file in packed["files"]}
    assert {"package.json", "README.md", "LICENSE", "dist/index.js", "dist/index.d.ts", "dist/schema.d.ts"} <= files
    assert {Path(file).parts[0] for file in files} == {"package.json", "README.md", "LICENSE", "dist"}
    manifest = json.loads((package / "package.json").read_text())
    assert not manifest.keys() & {"dependencies", "peerDependencies", "optionalDependencies"}
    assert (package / "LICENSE").read_text() == (PACKAGE.parents[1] / "LICENSE").read_text()


def test_its_code_is_small(package: Path) -> None:
    files = (package / "dist").glob("*.js")
    assert sum(len(gzip.compress(file.read_bytes())) for file in files) < MOST_BYTES
