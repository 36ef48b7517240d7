"""Wheels for each platform and Python: the table in docs/get-started/install.md is what the package index has."""

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.node_packages import missing

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/get-started/install.md"
# As the page names them, with the names of uv.
PLATFORMS = {
    "Linux x86_64, glibc 2.28 or newer": "x86_64-manylinux_2_28",
    "Linux aarch64, glibc 2.28 or newer": "aarch64-manylinux_2_28",
    "Linux x86_64, musl (Alpine)": "x86_64-unknown-linux-musl",
    "Linux aarch64, musl (Alpine)": "aarch64-unknown-linux-musl",
    "macOS, Apple silicon": "aarch64-apple-darwin",
    "macOS, Intel": "x86_64-apple-darwin",
    "Windows x86_64": "x86_64-pc-windows-msvc",
    "Windows arm64": "aarch64-pc-windows-msvc",
}
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
# Each includes those after it.
INSTALLS = ("duly[demo]", "duly[embedded]", "duly[server]", "duly")


def listed() -> dict[str, str]:
    """Returns the extra of each platform, as the page says."""
    table = PAGE.read_text().partition("| platform | Python 3.11 to 3.14 |")[2].partition("\n\n")[0]
    rows = [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    return {platform: extra for platform, extra, _ in rows}


def resolves(install: str, platform: str, python: str) -> bool:
    """Returns whether there are wheels of the locked versions, from what uv keeps of the index if it has it."""
    extras = [f"--extra={name}" for name in re.findall(r"\[(\w+)\]", install)]
    command = [str(Path(sys.executable).with_name("uv")), "pip", "compile", "pyproject.toml", "--quiet", *extras]
    command += ["--only-binary", ":all:", "--constraint", "requirements/dev.lock"]
    command += ["--python-platform", platform, "--python-version", python]
    for offline in (["--offline"], []):
        done = subprocess.run([*command, *offline], cwd=ROOT, capture_output=True, text=True, timeout=250, check=False)
        if done.returncode == 0 or "network was disabled" not in done.stderr:
            break
    if done.returncode and "No solution found" not in done.stderr:
        missing("pypi", f"The package index could not be read:\n{done.stderr}")
    return done.returncode == 0


def largest(platform: str) -> str:
    """Returns the largest extra that can be installed with each Python."""
    for install in INSTALLS:
        if all(resolves(install, platform, python) for python in PYTHONS):
            return install
    return "nothing"


@pytest.mark.timeout(600)
def test_the_table_of_wheels_is_what_the_index_has() -> None:
    with ThreadPoolExecutor(len(PLATFORMS)) as threads:  # they wait for the index
        found = dict(zip(PLATFORMS, threads.map(largest, PLATFORMS.values()), strict=True))
    assert found == listed()
