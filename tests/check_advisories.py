"""Known vulnerabilities of the locked packages: `python -m tests.check_advisories PIP_AUDIT`, as `make audit` runs it.

Where the advisory service cannot be reached, nothing is audited: it says so in one line and exits with 0.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

LOCK = Path(__file__).parents[1] / "requirements" / "runtime.lock"
SECONDS = 600


def report_of(output: str) -> tuple[str, int]:
    """Returns what `pip-audit` found, in words, and the exit code; `output` is its report as JSON, or nothing."""
    packages: list[dict[str, Any]] = json.loads(output)["dependencies"] if output.strip() else []
    found = [
        f"{package['name']} {package['version']}: {one['id']}, fixed in {', '.join(one['fix_versions']) or 'none'}"
        for package in packages
        for one in package.get("vulns", ())
    ]
    missing = [package["name"] for package in packages if "skip_reason" in package]
    if found:
        return "\n".join(found), 1
    if len(missing) == len(packages):
        return "the advisory service cannot be reached: the dependencies were not audited", 0
    if missing:
        return f"without advisories, because the service does not know them: {', '.join(missing)}", 1
    return f"no known vulnerability in {len(packages)} packages", 0


def main(program: str) -> int:
    command = [program, "--requirement", str(LOCK), "--require-hashes", "--disable-pip", "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)
    words, code = report_of(done.stdout)
    print(words)  # noqa: T201  # a command
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
