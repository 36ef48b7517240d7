"""Files of published packages in the dashboard, `app/duly/api/dashboard/static/vendor/`, with their licences.

python -m tests.vendored_assets   rewrites them from the locked packages, which npm verifies; a test compares the files
                                  with the hashes that are recorded beside them
"""

import hashlib
import json
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final, NamedTuple

from tests.support.forked_commands import ROOT

LOCKED: Final = ROOT / "tests" / "support" / "vendored"
VENDOR: Final = ROOT / "app" / "duly" / "api" / "dashboard" / "static" / "vendor"
RECORD: Final = VENDOR / "vendored.json"
_SOURCE_MAP: Final = re.compile(rb"\n?(?://# sourceMappingURL=\S+|/\*# sourceMappingURL=\S+ \*/)\s*\Z")


class Vendored(NamedTuple):
    """A file of a package.

    Attributes:
        file: its path in the package.
        name: its path in `vendor/`.
        replaced: text that is replaced, since browsers resolve relative names of modules only.
        appended: text at its end.
    """

    package: str
    file: str
    name: str
    replaced: tuple[str, str] | None = None
    appended: str = ""


FILES: Final = (
    Vendored("preact", "dist/preact.mjs", "preact.js"),
    Vendored("preact", "hooks/dist/hooks.mjs", "preact-hooks.js", ('from"preact"', 'from"./preact.js"')),
    Vendored("preact", "LICENSE", "preact.LICENSE.txt"),
    Vendored("htm", "dist/htm.module.js", "htm.js"),
    Vendored("htm", "LICENSE", "htm.LICENSE.txt"),
    Vendored("uplot", "dist/uPlot.iife.min.js", "uplot.js", appended="\nexport default uPlot;\n"),
    Vendored("uplot", "dist/uPlot.min.css", "uplot.css"),
    Vendored("uplot", "LICENSE", "uplot.LICENSE.txt"),
    Vendored("swagger-ui-dist", "swagger-ui-bundle.js", "swagger-ui/bundle.js"),
    Vendored("swagger-ui-dist", "swagger-ui-bundle.js.LICENSE.txt", "swagger-ui/bundle.LICENSE.txt"),
    Vendored("swagger-ui-dist", "swagger-ui.css", "swagger-ui/style.css"),
    Vendored("swagger-ui-dist", "LICENSE", "swagger-ui/LICENSE.txt"),
    Vendored("swagger-ui-dist", "NOTICE", "swagger-ui/NOTICE.txt"),
)


def locked_versions() -> dict[str, str]:
    """Returns the versions of the packages in the lock."""
    packages = json.loads((LOCKED / "package-lock.json").read_text())["packages"]
    return {each.package: packages[f"node_modules/{each.package}"]["version"] for each in FILES}


def vendored_text(each: Vendored, packages: Path) -> bytes:
    """Returns a file as the dashboard contains it, without a reference to its source map.

    Raises:
        ValueError: the text to replace is not there.
    """
    text = _SOURCE_MAP.sub(b"\n", (packages / each.package / each.file).read_bytes())
    if each.replaced is not None:
        old, new = (part.encode() for part in each.replaced)
        if old not in text:
            raise ValueError(f"{each.package}/{each.file} does not contain {each.replaced[0]!r}")
        text = text.replace(old, new)
    return text + each.appended.encode()


def digest_of(path: Path) -> str:
    """Returns the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def rewrite(packages: Path) -> None:
    """Writes all files and the record of their packages, versions and hashes."""
    shutil.rmtree(VENDOR, ignore_errors=True)
    versions, record = locked_versions(), {}
    for each in FILES:
        target = VENDOR / each.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(vendored_text(each, packages))
        record[each.name] = {
            "package": each.package,
            "version": versions[each.package],
            "file": each.file,
            "sha256": digest_of(target),
        }
    RECORD.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(LOCKED / name, folder)
        subprocess.run(
            ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=folder, check=True, timeout=300
        )
        rewrite(Path(folder, "node_modules"))
