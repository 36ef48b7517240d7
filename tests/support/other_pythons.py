"""Environments with the tests' requirements for other releases of Python, and sources of packages.

python -m tests.support.other_pythons 3.12

prints an interpreter of this release, or fails if there is none.
"""

import hashlib
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest

from tests.support.node_packages import missing

ROOT: Final = Path(__file__).parents[2]
LOCK: Final = ROOT / "requirements" / "dev.lock"
BOUND_SECONDS: Final = 250.0
NO_INDEX: Final = "The requirements of requirements/dev.lock could not be had from the package index"


def interpreters(version: str) -> Iterator[Path]:
    """Yields interpreters of this release (`3.12`): this one, those of pyenv, and those that uv finds."""
    if version == f"{sys.version_info.major}.{sys.version_info.minor}":
        yield Path(sys.executable)
    yield from sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    done = subprocess.run(
        [_uv(), "python", "find", "--no-python-downloads", version], check=False, capture_output=True, text=True
    )
    if done.returncode == 0:
        yield Path(done.stdout.strip())


def python_with_requirements(config: pytest.Config, version: str) -> Path:
    """Returns the interpreter of an environment of this release with the requirements of the tests.

    It is kept in pytest's cache, in a folder named after the lock. Without an interpreter of that release, the test is
    skipped, or fails if `TESTS_REQUIRE` contains `python` and the release.
    """
    found = next(interpreters(version), None)
    if found is None:
        missing(f"python{version}", f"Python {version} is not on this machine: https://www.python.org/downloads")
    if found == Path(sys.executable):
        return found
    kept = config.cache.mkdir("python-environments") / f"{version}-{_digest(LOCK.read_bytes())}"
    if not kept.is_dir():
        with tempfile.TemporaryDirectory(dir=kept.parent) as making:
            environment = Path(making, "environment")
            _run(_uv(), "venv", "--quiet", "--relocatable", "--python", str(found), str(environment))
            # Bytecode is compiled for what a test imports: that of all packages takes twenty seconds.
            locked = ("--require-hashes", "-r", str(LOCK))
            _run(_uv(), "pip", "install", "--quiet", "--python", str(environment), *locked)
            # Another worker of the same run may have created the same folder already.
            with suppress(OSError):
                environment.rename(kept)
    return kept / "bin" / "python"


def source_of(config: pytest.Config, package: str, version: str) -> Path:
    """Returns the unpacked source distribution of a locked package, which pip verifies by the hashes of the lock."""
    requirement = next(text for text in _requirements() if text.startswith(f"{package}=={version}"))
    kept = config.cache.mkdir("python-sources") / f"{package}-{version}-{_digest(requirement.encode())}"
    if not kept.is_dir():
        with tempfile.TemporaryDirectory(dir=kept.parent) as making:
            wanted = Path(making, "requirements.txt")
            wanted.write_text(re.sub(r" ; [^\\]*", " ", requirement))
            download = (sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check")
            chosen = ("--no-deps", "--no-binary", ":all:", "--ignore-requires-python", "--require-hashes")
            _run(*download, *chosen, "-r", str(wanted), "--dest", making)
            [archive] = Path(making).glob("*.tar.gz")
            with tarfile.open(archive) as packed:
                packed.extractall(making, filter="data")
            with suppress(OSError):
                Path(making, archive.name.removesuffix(".tar.gz")).rename(kept)
    return kept


def locked_version(package: str, *, above: str) -> str:
    """Returns the locked version of a package, of those that differ between releases of Python the first above this."""
    found = [text.split()[0].split("==") for text in _requirements() if "==" in text.split("\n")[0]]
    return next(version for name, version in found if name == package and version > above)


def _requirements() -> list[str]:
    """Returns the requirements of the lock, each with its hashes."""
    return re.split(r"\n(?=\S)", LOCK.read_text())


def _run(*command: str) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=BOUND_SECONDS)
    if done.returncode:
        missing("pypi", f"{NO_INDEX}:\n{done.stderr}")


def _uv() -> str:
    return str(Path(sys.executable).with_name("uv"))


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


if __name__ == "__main__":
    print(next(interpreters(sys.argv[1]), "") or sys.exit(1))  # noqa: T201  # the output of the program
