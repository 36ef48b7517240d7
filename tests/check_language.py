"""Check of the prose in the repository: openings of docstrings, the word list of the house style, long lines.

python -m tests.check_language               figures and findings of all; exit code 1 beyond the limits
python -m tests.check_language --report      the figures alone, by folder
python -m tests.check_language PATH…         findings of these files or folders
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tests.support.language_openings import fault_of_opening
from tests.support.language_sources import (
    CODE,
    ROOT,
    Docstring,
    all_files,
    area,
    docstrings,
    long_lines,
    passages,
)
from tests.support.language_words import Hit, count_words, hits

WORDS_PER_1000 = 2.0
OPENINGS_PERCENT = 1.0
# Their docstrings are the help of commands and the descriptions of operations in the OpenAPI document.
INSTRUCTIONS = ("app/duly/cli/", "app/duly/api/", "app/duly/demo/__init__.py")


class Opening(NamedTuple):
    docstring: Docstring
    fault: str


@dataclass(slots=True)
class Figures:
    """Counts of one area."""

    words: int = 0
    hits: list[Hit] = field(default_factory=list)
    docstrings: int = 0
    openings: list[Opening] = field(default_factory=list)
    long_lines: list[tuple[Path, int, int]] = field(default_factory=list)

    def add(self, other: "Figures") -> None:
        self.words += other.words
        self.hits += other.hits
        self.docstrings += other.docstrings
        self.openings += other.openings
        self.long_lines += other.long_lines

    @property
    def per_1000(self) -> float:
        return 1000 * len(self.hits) / max(self.words, 1)

    @property
    def openings_percent(self) -> float:
        return 100 * len(self.openings) / max(self.docstrings, 1)


def measure(path: Path) -> Figures:
    """Returns the figures of one file."""
    figures = Figures()
    for passage in passages(path):
        figures.words += count_words(passage)
        figures.hits += hits(passage)
    name = str(path.relative_to(ROOT))
    if path.suffix == ".py" and name.startswith(CODE):
        for docstring in docstrings(path):
            figures.docstrings += 1
            if fault := fault_of_opening(docstring.text, instructions=name.startswith(INSTRUCTIONS)):
                figures.openings.append(Opening(docstring, fault))
    if path.suffix == ".md":
        figures.long_lines += [(path, number, length) for number, length in long_lines(path)]
    return figures


def by_area(paths: Iterable[Path]) -> dict[str, Figures]:
    """Returns the figures of files, added up by folder, and their sum under `total`."""
    found: dict[str, Figures] = {}
    total = Figures()
    for path in paths:
        figures = measure(path)
        found.setdefault(area(path), Figures()).add(figures)
        total.add(figures)
    return {**dict(sorted(found.items())), "total": total}


def report(found: dict[str, Figures]) -> Iterator[str]:
    """Yields a table of the figures, then how often each phrase was found."""
    yield f"{'area':<24}{'words':>9}{'hits':>7}{'per 1,000':>11}{'docstrings':>12}{'openings':>10}{'%':>7}{'long':>6}"
    for name, figures in found.items():
        yield (
            f"{name:<24}{figures.words:>9,}{len(figures.hits):>7,}{figures.per_1000:>11.1f}{figures.docstrings:>12,}"
            f"{len(figures.openings):>10,}{figures.openings_percent:>7.1f}{len(figures.long_lines):>6,}"
        )
    total = found["total"]
    for title, counted in (
        ("phrases", Counter(hit.phrase for hit in total.hits)),
        ("kinds", Counter(hit.passage.kind for hit in total.hits)),
        ("openings", Counter(opening.fault for opening in total.openings)),
    ):
        yield ""
        yield f"{title}: " + ", ".join(f"{name} {count}" for name, count in counted.most_common(40))


def findings(figures: Figures) -> Iterator[str]:
    """Yields each finding as `file:line: what is wrong`."""
    lines = [(hit.passage.path, hit.line, f'"{hit.phrase}" in: {hit.context}') for hit in figures.hits]
    lines += [(docstring.path, docstring.line, f"docstring {fault}") for docstring, fault in figures.openings]
    lines += [
        (path, number, f"line of {length} characters; at most 120") for path, number, length in figures.long_lines
    ]
    for path, number, text in sorted(lines):
        yield f"{path.relative_to(ROOT)}:{number}: {text}"


def exceeds(figures: Figures) -> bool:
    """Returns whether files are beyond the limits of the house style; one phrase is allowed even in a short file."""
    return (
        len(figures.hits) > max(1, figures.words * WORDS_PER_1000 / 1000)
        or len(figures.openings) > figures.docstrings * OPENINGS_PERCENT / 100
        or bool(figures.long_lines)
    )


def chosen(names: list[str]) -> list[Path]:
    """Returns the prose and code among these files and below these folders; all of it if there are no names."""
    wanted = [Path(name).resolve() for name in names]
    return [path for path in all_files() if not wanted or path in wanted or set(path.parents) & set(wanted)]


def _print(lines: Iterable[str]) -> None:
    sys.stdout.writelines(f"{line}\n" for line in lines)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.check_language", description="Check the prose of the repository."
    )
    parser.add_argument("paths", nargs="*", help="files or folders (default: all)")
    parser.add_argument("--report", action="store_true", help="print the figures by folder and no findings")
    options = parser.parse_args()
    found = by_area(chosen(options.paths))
    if options.report:
        _print(report(found))
        return 0
    _print(findings(found["total"]))
    _print(list(report(found))[: len(found) + 1])
    return int(exceeds(found["total"]))


if __name__ == "__main__":
    sys.exit(main())
