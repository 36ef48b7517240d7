"""The forge: Git repositories, builds and deployments, in one folder. Every operation may be repeated."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipapp
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from pydantic import BaseModel

AUTHOR = {"GIT_AUTHOR_NAME": "forge", "GIT_AUTHOR_EMAIL": "forge@example.org"}
COMMITTER = {"GIT_COMMITTER_NAME": "forge", "GIT_COMMITTER_EMAIL": "forge@example.org"}
SECONDS = 200


class ForgeError(Exception):
    """Failed operation of the forge."""


class Repository(BaseModel):
    path: Path
    commit: str


class Build(BaseModel):
    artifact: Path
    commit: str
    tests: int


class Deployment(BaseModel):
    path: Path
    commit: str
    answer: dict[str, Any]


def folder() -> Path:
    return Path(os.environ["FORGE_FOLDER"])


def create_repository(name: str, settings: dict[str, Any]) -> Repository:
    """Creates a repository with the template as its first commit; an existing one stays as it is."""
    path = folder() / "repositories" / f"{name}.git"
    if not path.exists():
        part = Path(tempfile.mkdtemp(dir=folder(), prefix="part-"))
        _git("init", "--quiet", "--bare", "--initial-branch=main", str(part))
        path.parent.mkdir(exist_ok=True)
        with checkout(part) as work:
            for source in files("service_template").joinpath("template").iterdir():
                target = work / source.name.removesuffix(".tmpl")
                target.write_text(Template(source.read_text(encoding="utf-8")).substitute(name=name), encoding="utf-8")
            (work / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
            commit_all(work, f"Create {name} from the template")
        part.rename(path)
    return Repository(path=path, commit=_head(path))


def build(repository: Repository) -> Build:
    """Runs the tests of the newest commit and packs it."""
    with checkout(repository.path) as work:
        commit = _head(work)
        tested = _run(sys.executable, "-m", "unittest", "--quiet", at=work)
        shutil.rmtree(work / ".git")
        artifact = folder() / "artifacts" / f"{repository.path.stem}-{commit[:12]}.pyz"
        artifact.parent.mkdir(exist_ok=True)
        zipapp.create_archive(work, artifact.with_suffix(".part"))
        artifact.with_suffix(".part").replace(artifact)
    count = re.search(r"Ran (\d+) tests?", tested)
    return Build(artifact=artifact, commit=commit, tests=int(count[1]) if count else 0)


def add_members(name: str, members: list[str]) -> list[str]:
    """Gives people of the directory access to a repository."""
    known = json.loads((folder() / "directory.json").read_text(encoding="utf-8"))
    if unknown := [member for member in members if member not in known]:
        raise ForgeError(f"not in the directory: {', '.join(unknown)}")
    _write("members", name, members)
    return members


def add_logging(name: str, days: int) -> str:
    """Creates the log stream of a service, kept for some days."""
    _write("logging", name, {"stream": f"logs/{name}", "days": days})
    return f"logs/{name}"


def deploy(name: str, built: Build) -> Deployment:
    """Deploys an artifact once it has answered a request on the target."""
    answer = _check(built.artifact)
    current = folder() / "deployments" / name
    current.parent.mkdir(exist_ok=True)
    part = current.with_suffix(".part")
    part.unlink(missing_ok=True)
    part.symlink_to(built.artifact)
    part.replace(current)
    return Deployment(path=current, commit=built.commit, answer=answer)


def archive_repository(name: str, settings: dict[str, Any]) -> None:
    """Undoes `create_repository`; the history is kept."""
    path = folder() / "repositories" / f"{name}.git"
    if path.exists():
        archived = folder() / "archive" / f"{name}-{_head(path)[:12]}.git"
        archived.parent.mkdir(exist_ok=True)
        path.rename(archived)


def remove_members(name: str, members: list[str]) -> None:
    (folder() / "members" / f"{name}.json").unlink(missing_ok=True)


def remove_logging(name: str, days: int) -> None:
    (folder() / "logging" / f"{name}.json").unlink(missing_ok=True)


def undeploy(name: str, built: Build) -> None:
    (folder() / "deployments" / name).unlink(missing_ok=True)


def left_of(name: str) -> list[str]:
    """Returns the paths of what exists for a service."""
    found = folder().glob(f"[!a]*/{name}*")  # not artifacts and the archive
    return sorted(str(path.relative_to(folder())) for path in found)


def ask(name: str) -> dict[str, Any]:
    """Returns an answer of the deployed artifact."""
    return _check(folder() / "deployments" / name)


@contextmanager
def checkout(repository: Path) -> Iterator[Path]:
    """Clones a repository into a folder that is deleted after the block."""
    with tempfile.TemporaryDirectory(dir=folder(), prefix="checkout-") as work:
        _git("clone", "--quiet", str(repository), work)
        yield Path(work)


def commit_all(work: Path, message: str) -> str:
    """Commits all files of a checkout and pushes them. Returns the commit."""
    _git("add", "--all", at=work)
    _git("commit", "--quiet", "--message", message, at=work)
    _git("push", "--quiet", "origin", "HEAD:main", at=work)
    return _head(work)


def _check(artifact: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_run(sys.executable, str(artifact), "--check", at=folder()))
    return found


def _head(repository: Path) -> str:
    return _git("rev-parse", "HEAD", at=repository).strip()


def _git(*arguments: str, at: Path | None = None) -> str:
    return _run("git", *arguments, at=at or folder())


def _run(*command: str, at: Path) -> str:
    """Returns the output of a command.

    Raises:
        ForgeError: it has failed; the message has its last line.
    """
    environment = os.environ | AUTHOR | COMMITTER | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    done = subprocess.run(
        command, cwd=at, env=environment, capture_output=True, text=True, check=False, timeout=SECONDS
    )
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()[-1]
        raise ForgeError(f"{Path(command[0]).name} {command[1]}: exit code {done.returncode}: {last}")
    return done.stdout + done.stderr


def _write(kind: str, name: str, value: object) -> None:
    file = folder() / kind / f"{name}.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(value), encoding="utf-8")
