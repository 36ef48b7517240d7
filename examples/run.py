"""Runs examples: `python examples/run.py` all of them in their short form, `python examples/run.py NAME …` one of them.

Options after the name are those of the example: `python examples/run.py report --help`.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

FOLDER = Path(__file__).parent


def examples() -> dict[str, str]:
    """Returns the modules of the examples that can be run, by the names of their folders."""
    found = {file.parent.parent.name: file.parent.name for file in FOLDER.glob("*/*/__main__.py")}
    return dict(sorted(found.items()))


def environment() -> dict[str, str]:
    """Returns an environment in which the packages of all examples can be imported, also by processes of a service."""
    packages = sorted({str(file.parent.parent) for file in FOLDER.glob("*/*/__init__.py")})
    outer = os.environ.get("PYTHONPATH")
    return os.environ | {"PYTHONPATH": os.pathsep.join([*packages, *([outer] if outer else [])])}


def run(name: str, options: list[str]) -> int:
    """Runs an example in its folder. Returns its exit code."""
    command = [sys.executable, "-m", examples()[name], *options]
    return subprocess.run(command, cwd=FOLDER / name, env=environment(), check=False).returncode


def run_all() -> int:
    """Runs all examples in their short form, and says which. Returns 1 if any failed."""
    failed = []
    for name in examples():
        print(f"\n== {name} --short: see examples/{name}/README.md", flush=True)
        start = time.monotonic()
        code = run(name, ["--short"])
        print(f"== {name}: {'passed' if code == 0 else f'FAILED with exit code {code}'}", end="")
        print(f" after {time.monotonic() - start:.1f} s", flush=True)
        failed += [name] if code else []
    print(f"\nRan {len(examples())} examples: {', '.join(examples())}. Failed: {', '.join(failed) or 'none'}.")
    return 1 if failed else 0


def main() -> None:
    """Runs what the command line names."""
    if len(sys.argv) == 1:
        sys.exit(run_all())
    name, *options = sys.argv[1:]
    if name not in examples():
        sys.exit(f'No example is named "{name}"; choose one of {", ".join(examples())}.')
    os.chdir(FOLDER / name)
    # In place of this process, so that a signal to it reaches the example.
    os.execve(sys.executable, [sys.executable, "-m", examples()[name], *options], environment())  # noqa: S606


if __name__ == "__main__":
    main()
