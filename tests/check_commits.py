"""Check of commit subjects: imperative, at most 72 characters, no full stop at the end; run by `make check`.

    python -m tests.check_commits                  subjects of the commits since BASE
    python -m tests.check_commits --message FILE   the subject of a message, as Git's `commit-msg` hook passes it

Where there is no history (a shallow clone, an sdist) there is nothing to check.
"""

import argparse
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
# Commits after this one are checked.
BASE = "e323d94206ad99510785088fa15d9da5488de739"
LONGEST = 72
# Imperatives that end like a past tense, a third person or a participle.
IMPERATIVES = {
    *(
        "bring",
        "embed",
        "feed",
        "need",
        "ping",
        "proceed",
        "exceed",
        "seed",
        "shed",
        "speed",
        "spring",
        "string",
        "swing",
    ),
    *("access", "address", "alias", "assess", "bypass", "compress", "cross", "discuss", "dismiss", "express", "focus"),
    *("guess", "miss", "pass", "press", "process", "suppress", "toss"),
}
# Past tenses without -ed, and words that open a clause or a noun phrase.
NO_IMPERATIVES = {
    *(
        "began",
        "broke",
        "brought",
        "built",
        "chose",
        "did",
        "drew",
        "fell",
        "found",
        "gave",
        "got",
        "held",
        "kept",
        "left",
    ),
    *("made", "ran", "said", "sent", "showed", "spoke", "took", "wrote"),
    *("a", "an", "the", "this", "that", "it", "its", "new", "no", "now", "some", "more"),
    *("what", "how", "why", "when", "where", "whether", "who"),
}
_FIRST = re.compile(r"[A-Za-z]+(?:-[A-Za-z]+)*")


def faults(subject: str) -> Iterator[str]:
    """Yields what is wrong with a subject."""
    if len(subject) > LONGEST:
        yield f"has {len(subject)} characters, at most {LONGEST}"
    if subject.endswith("."):
        yield "ends with a full stop"
    found = _FIRST.match(subject)
    if not found or not found[0][0].isupper():
        yield "begins with no capital letter"
        return
    word = found[0].lower()
    if word in NO_IMPERATIVES or (word not in IMPERATIVES and word.endswith(("ed", "ing", "s"))):
        yield f'begins with "{found[0]}", not with an imperative'


def subjects_since_base() -> list[tuple[str, str]]:
    """Returns abbreviated hash and subject of each commit since BASE; none where Git does not know it."""
    try:
        log = subprocess.run(
            ["git", "-C", str(ROOT), "log", "--no-merges", "--format=%h %s", f"{BASE}..HEAD", "--"],
            capture_output=True,
            check=True,
            text=True,
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return []
    return [(line.partition(" ")[0], line.partition(" ")[2]) for line in log.splitlines()]


def subject_of(message: str) -> str:
    """Returns the first line of a message that is not a comment."""
    lines = (line.strip() for line in message.splitlines() if not line.startswith("#"))
    return next((line for line in lines if line), "")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.check_commits", description="Check the subjects of commits.")
    parser.add_argument("--message", type=Path, help="file with one commit message (default: the commits since BASE)")
    message = parser.parse_args().message
    if message:
        subject = subject_of(message.read_text())
        # Git squashes these into the commit that they name.
        checked = [] if subject.startswith(("fixup! ", "squash! ", "Merge ")) else [("subject", subject)]
    else:
        checked = subjects_since_base()
    found = [f'{name} "{subject}" {fault}' for name, subject in checked for fault in faults(subject)]
    sys.stdout.writelines(f"{each}\n" for each in found)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
