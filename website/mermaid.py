"""Mermaid for the diagrams of the site: without it, pages would load it from a CDN and not work offline."""

import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

# The theme's script asks for this major version.
VERSION = "12.3.0"
SHA256 = "336df803d87a38b70a01e736e666c8f7601d2ce42f5e47c8fafe5d721074b9a3"
_KEPT = Path(__file__).parent.parent / ".venv-docs" / f"mermaid-{VERSION}.min.js"


def script() -> Path | None:
    """Returns the file of Mermaid, fetched with npm once; None without npm: diagrams are then shown as text."""
    if not _KEPT.is_file():
        if shutil.which("npm") is None:
            sys.stderr.write("npm is not installed: diagrams are shown as text\n")
            return None
        content = _fetched()
        _KEPT.parent.mkdir(exist_ok=True)
        _KEPT.write_bytes(content)
    return _KEPT


def _fetched() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        command = ["npm", "pack", "--silent", f"mermaid@{VERSION}", "--pack-destination", folder]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # noqa: S603  # a fixed command
        with tarfile.open(next(Path(folder).glob("*.tgz"))) as package:
            member = package.extractfile("package/dist/mermaid.min.js")
            content = member.read() if member else b""
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise SystemExit(f"mermaid {VERSION} from npm is not the file that is expected; see website/mermaid.py")
    return content
