"""Snippets of docs/webhooks/verifying.md, and webhooks to verify with them."""

import re
import shutil
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests.support.node_packages import node, program

_PAGE: Final = Path(__file__).parents[2] / "docs" / "webhooks" / "verifying.md"
_RUNNERS: Final = Path(__file__).parent / "snippets"
# A code block whose first line is a comment with a file name.
_SNIPPET: Final = re.compile(r"^```\w+\n((?:#|//|<\?php //) (\S+\.\w+)\n.*?)^```$", re.MULTILINE | re.DOTALL)
_NAMES: Final = ("webhook-id", "webhook-timestamp", "webhook-signature")


@dataclass(frozen=True, slots=True)
class Webhook:
    """Received webhook, and the keys to verify it: secrets, or the text of a JWKS."""

    headers: Mapping[str, str]
    body: bytes
    keys: Sequence[str]

    def line(self) -> str:
        fields = [*(self.headers.get(name, "").encode() for name in _NAMES), self.body, *map(str.encode, self.keys)]
        return "\t".join(b64encode(field).decode() for field in fields) + "\n"


def ask(command: Sequence[str], webhooks: Sequence[Webhook], *, env: Mapping[str, str] | None = None) -> list[str]:
    """Returns the verdict of a program on each webhook: "accepted", or "refused" with the reason."""
    asked = "".join(webhook.line() for webhook in webhooks)
    done = subprocess.run(command, input=asked, check=False, capture_output=True, text=True, timeout=300, env=env)
    assert done.returncode == 0, done.stderr
    verdicts = done.stdout.splitlines()
    assert len(verdicts) == len(webhooks), done.stdout + done.stderr
    return verdicts


def write_snippet(name: str, folder: Path) -> Path:
    """Writes the snippet of this name as shown on the page."""
    found = {match[2]: match[1] for match in _SNIPPET.finditer(_PAGE.read_text())}
    folder.mkdir(parents=True, exist_ok=True)
    written = folder / name
    written.write_text(found[name])
    return written


def _python(folder: Path) -> list[str]:
    snippet = write_snippet("verify_webhook.py", folder)
    # Isolated and without site-packages: only the standard library.
    return [sys.executable, "-I", "-S", str(_RUNNERS / "run.py"), str(snippet), "secrets"]


def _python_with_jwks(folder: Path) -> list[str]:
    snippet = write_snippet("verify_webhook_with_jwks.py", folder)
    return [sys.executable, str(_RUNNERS / "run.py"), str(snippet), "jwks"]


def _javascript(folder: Path) -> list[str]:
    return [node(), str(_RUNNERS / "run.mjs"), str(write_snippet("verify-webhook.mjs", folder)), "secrets"]


def _javascript_with_jwks(folder: Path) -> list[str]:
    return [node(), str(_RUNNERS / "run.mjs"), str(write_snippet("verify-webhook-with-jwks.mjs", folder)), "jwks"]


def _go(folder: Path) -> list[str]:
    go = program("go", "Go is not on this machine: apt-get install golang-go")
    write_snippet("verify_webhook.go", folder / "webhook")
    (folder / "go.mod").write_text("module snippet\n\ngo 1.19\n")
    shutil.copy(_RUNNERS / "main.go", folder)
    _build([go, "build", "-o", "run", "."], folder)
    return [str(folder / "run")]


def _java(folder: Path) -> list[str]:
    java = program("java", "Java is not on this machine: apt-get install default-jdk-headless")
    modules = subprocess.run([java, "--list-modules"], check=True, capture_output=True, text=True, timeout=300).stdout
    if "jdk.compiler@" not in modules:
        pytest.skip("Java is here without its compiler: apt-get install default-jdk-headless")
    snippet = write_snippet("VerifyWebhook.java", folder)
    sources = [str(snippet), str(_RUNNERS / "Run.java")]
    _build([java, "-m", "jdk.compiler/com.sun.tools.javac.Main", "-Xlint:all", "-Werror", "-d", ".", *sources], folder)
    return [java, "-cp", str(folder), "Run"]


def _ruby(folder: Path) -> list[str]:
    ruby = program("ruby", "Ruby is not on this machine: apt-get install ruby")
    return [ruby, "-w", str(_RUNNERS / "run.rb"), str(write_snippet("verify_webhook.rb", folder))]


def _php(folder: Path) -> list[str]:
    php = program("php", "PHP is not on this machine: apt-get install php-cli")
    return [
        php,
        "-d",
        "error_reporting=-1",
        str(_RUNNERS / "run.php"),
        str(write_snippet("verify_webhook.php", folder)),
    ]


def _build(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


Prepare = Callable[[Path], list[str]]

WITH_SECRETS: Final[Mapping[str, Prepare]] = {
    "Python": _python,
    "JavaScript": _javascript,
    "Go": _go,
    "Java": _java,
    "Ruby": _ruby,
    "PHP": _php,
}
WITH_JWKS: Final[Mapping[str, Prepare]] = {"Python": _python_with_jwks, "JavaScript": _javascript_with_jwks}
