"""Environments of the peers, created on first use and reused while the lock stays the same.

They are separate from the service's own environment. The name of a folder contains the digest of the lock and is given
only to a complete installation, so that a partial one is never used.
"""

import functools
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.catalog import NODE, Peer
from benchmarks.processes import ContestantFailed

HERE = Path(__file__).parent
REQUIREMENTS = HERE / "requirements"
ENVIRONMENTS = HERE.parent / ".peers"
INSTALL_SECONDS = 300.0
UV = Path(sys.executable).with_name("uv")
# Environments whose packages need a newer Python than the service.
NEWER_PYTHON = {"oban": (3, 12)}


@dataclass(frozen=True, slots=True)
class Environment:
    """`program`: the peer's Python or Node; `modules`: the folder from which Node resolves imports."""

    program: Path
    modules: Path


def installed(peer: Peer) -> Environment:
    """Returns the peer's environment; creates it if needed. Raises ContestantFailed if that fails."""
    return environment(environment_of(peer))


def environment(name: str) -> Environment:
    """Returns an environment by its name, and creates it if needed; not only peers have one."""
    found = _environment(name)
    if isinstance(found, str):
        raise ContestantFailed(found)
    return found


def environment_of(peer: Peer) -> str:
    return peer.environment or peer.module


def version(peer: Peer) -> str:
    """Returns the locked version of the peer's package."""
    if environment_of(peer) == NODE:
        packages = json.loads(locks(NODE)[0].read_text())["packages"]
        return str(packages[f"node_modules/{peer.package}"]["version"])
    return locked(peer.module, peer.package)


def locked(name: str, package: str) -> str:
    """Returns the version of a Python package in the lock of this environment."""
    found = re.search(rf"^{re.escape(package)}==(\S+)", locks(name)[0].read_text(), re.MULTILINE)
    return found[1] if found else "unlocked"


def locks(environment: str) -> tuple[Path, ...]:
    """Returns the files that define the installed packages; the first one is the lock."""
    if environment == NODE:
        return REQUIREMENTS / NODE / "package-lock.json", REQUIREMENTS / NODE / "package.json"
    return (REQUIREMENTS / f"{environment}.lock",)


@functools.cache
def _environment(name: str) -> Environment | str:
    """Returns the environment, or the reason of its failure, which is cached for the other rows of the run."""
    digest = hashlib.sha256(b"".join(lock.read_bytes() for lock in locks(name))).hexdigest()[:12]
    folder = ENVIRONMENTS / f"{name}-{digest}"
    try:
        if not folder.exists():
            print(f"installing {name} into {folder.relative_to(HERE.parent.parent)}", file=sys.stderr, flush=True)
            _make(name, folder)
        return Environment(_program(name, folder), folder)
    except ContestantFailed as error:
        return f"not installed: {error}"
    except OSError as error:
        return f"not installed: {error!r}"


def _make(name: str, folder: Path) -> None:
    partial = folder.with_name(f"{folder.name}.{os.getpid()}")
    ENVIRONMENTS.mkdir(exist_ok=True)
    try:
        if name == NODE:
            _install_node_packages(partial)
        else:
            _install_python_packages(name, partial)
        partial.rename(folder)
        _remove_those_of_older_locks(name, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _remove_those_of_older_locks(name: str, folder: Path) -> None:
    """Removes environments of older locks, but not one that another run is creating from the same lock."""
    for other in ENVIRONMENTS.glob(f"{name}-*"):
        if not other.name.startswith(folder.name):
            shutil.rmtree(other, ignore_errors=True)


def _install_node_packages(folder: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise ContestantFailed("npm is not on PATH (Debian: apt-get install npm)")
    folder.mkdir()
    for lock in locks(NODE):
        shutil.copy(lock, folder)
    run([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(folder)])


def _install_python_packages(name: str, folder: Path) -> None:
    if not UV.exists():
        raise ContestantFailed(f"uv is not beside {sys.executable} (make install puts it there)")
    python = python_from(NEWER_PYTHON.get(name, (3, 11)))
    run([str(UV), "venv", "--quiet", "--relocatable", "--python", python, str(folder)])
    target = ["--python", str(folder / "bin" / "python"), "--compile-bytecode"]
    run([str(UV), "pip", "install", "--quiet", *target, "--require-hashes", "-r", str(locks(name)[0])])


def _program(name: str, folder: Path) -> Path:
    """Returns the Python or Node of an environment. Node comes from npm, since most systems have an older one."""
    if name != NODE:
        return folder / "bin" / "python"
    found = sorted(folder.glob("node_modules/node-linux-*/bin/node"))
    if not found:
        raise ContestantFailed("the lock has no Node for this machine (there is one for Linux on x64 and on arm64)")
    return found[0]


def python_from(least: tuple[int, int]) -> str:
    """Returns an interpreter of at least this version: the running one, or one from PATH or pyenv."""
    if sys.version_info[:2] >= least:
        return sys.executable
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    names = [f"python3.{minor}" for minor in range(least[1], least[1] + 4)]
    candidates = [shutil.which(name) for name in names]
    candidates += [str(path) for name in names for path in sorted(pyenv.glob(f"versions/*/bin/{name}"))]
    for candidate in candidates:
        if candidate is not None and _runs(candidate):
            return candidate
    raise ContestantFailed(f"Python {least[0]}.{least[1]} or newer is required, and none is on PATH")


def _runs(python: str) -> bool:
    """Returns whether an interpreter starts. Some on PATH are shims that only name other versions."""
    try:
        return subprocess.run([python, "-c", ""], capture_output=True, timeout=30, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def run(command: Sequence[str]) -> None:
    """Runs an installer. Raises ContestantFailed with its last output if it fails."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=INSTALL_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ContestantFailed(f"{Path(command[0]).name} did not end within {INSTALL_SECONDS:g} s") from error
    if done.returncode != 0:
        lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        raise ContestantFailed(f"{Path(command[0]).name} ended with {done.returncode}: {' '.join(lines)[:300]}")
