"""The package compiles strictly, together with its own tests and the examples of its pages, and all of them run."""

import re
import shutil
from pathlib import Path

import pytest

from duly.cli.typegen.job_types import JobTypeSchemas, write_types
from tests.support.markdown_blocks import ROOT, read_blocks
from tests.support.node_packages import node_20
from tests.support.openapi_generators import run
from tests.support.service import Service
from tests.support.typescript_client import run_package

# Output of the examples of each page.
PAGES = {
    "clients/typescript/README.md": r"(\d+ %\n)+completed\n",
    "docs/reference/typescript-client.md": (
        r"\{ rows: 3 \}\n"
        r"\{ rows: 3 \}\n"
        r"(\S+ job_\w+\n)+"
        r"UNKNOWN_JOB_TYPE \[.*\]\n"
        r"6\n"
    ),
}
ROWS = {"type": "object", "properties": {"rows": {"type": "integer"}}, "required": ["rows"]}
SCHEMAS = [JobTypeSchemas("rows/count", ROWS, ROWS), JobTypeSchemas("clean-up", {}, {})]
# Only compiled.
USE_OF_WRITTEN_TYPES = """
import { Client } from "duly-client";

export async function use(client: Client<JobTypes>): Promise<number> {
  // @ts-expect-error
  await client.submit("rows/count", { rows: "3" });
  await client.submit("clean-up");
  return (await client.result(await client.submit("rows/count", { rows: 3 }))).rows;
}
"""
SERVICE = "http://127.0.0.1:8000"


def program_of(page: str) -> str:
    """Returns the blocks of a page as one program, which takes the address of the service as its argument."""
    text = "".join(block.text for block in read_blocks((ROOT / page).read_text(), page) if block.language == "ts")
    imports = re.findall(r"^import .*\n", text, re.MULTILINE)
    rest = re.sub(r"^import .*\n", "", text, flags=re.MULTILINE)
    return "".join(imports) + rest.replace(f'"{SERVICE}"', "process.argv[2]")


def file_of(page: str) -> str:
    return f"page-{list(PAGES).index(page)}"


@pytest.fixture(scope="session")
def compiled(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Package with everything compiled in `build/`."""
    folder = Path(shutil.copytree(package, tmp_path_factory.mktemp("compiled") / "package", symlinks=True))
    for page in PAGES:
        (folder / "test" / f"{file_of(page)}.ts").write_text(program_of(page))
    (folder / "test" / "written.ts").write_text(write_types(SCHEMAS, language="ts") + USE_OF_WRITTEN_TYPES)
    run_package("tsc", cwd=folder)
    return folder


async def test_its_own_tests_pass(compiled: Path) -> None:
    tests = sorted((compiled / "build" / "test").glob("*.test.js"))
    assert len(tests) > 5
    await run(node_20(), "--test", *tests, cwd=compiled)


@pytest.mark.parametrize("page", PAGES)
async def test_the_examples_of_a_page_run(page: str, compiled: Path, service: Service) -> None:
    printed = await run(node_20(), f"build/test/{file_of(page)}.js", service.url, cwd=compiled)
    assert re.fullmatch(PAGES[page], printed, re.DOTALL), printed
