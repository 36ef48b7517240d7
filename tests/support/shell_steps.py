"""The commands of a shell block, and the output that it shows for each."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from tests.support.markdown_blocks import Block

SHELLS: Final = frozenset({"sh", "bash", "console"})
SERVE: Final = re.compile(r"^(?P<variables>(?:[A-Z_]+=\S+ )*)duly serve(?P<arguments>[^&|;#]*)&?\s*(?:#.*)?$")


class BlockFailed(AssertionError):
    """A block that does not do what the page says."""

    def __init__(self, place: str, what: str) -> None:
        super().__init__(f"{place}: {what}\nFix it, or put the reason above it: <!-- not-run: ... -->")


@dataclass(frozen=True, slots=True)
class Step:
    """A command of a block, the line that it begins on, and the output that is shown below it."""

    line: int
    command: str
    shown: str = ""


def steps(block: Block) -> Iterator[Step]:
    """Yields the commands of a shell block: one for each `$ ` of a console, else the whole block."""
    if block.language == "console":
        yield from _console_steps(block)
    else:
        yield Step(block.line, block.text)


def _console_steps(block: Block) -> Iterator[Step]:
    lines = list(enumerate(block.text.splitlines(), block.line))
    while lines:
        number, line = lines.pop(0)
        if not line.startswith("$ "):
            raise BlockFailed(f"{block.page}:{number}", "a console block begins with a command: `$ ...`")
        command = line.removeprefix("$ ")
        while lines and not is_whole(command):
            command += "\n" + lines.pop(0)[1]
        shown: list[str] = []
        while lines and not lines[0][1].startswith("$ "):
            shown.append(lines.pop(0)[1])
        yield Step(number, command, "\n".join(shown).strip())


def is_whole(command: str) -> bool:
    """Returns True if the command ends here: no quote is open, and no backslash continues it."""
    try:
        shlex.split(command, comments=True)
    except ValueError:
        return False
    return not command.endswith("\\")


def parted(commands: str) -> Iterator[tuple[int, str]]:
    """Splits commands at each line that starts the service; yields the parts with the number of lines before each."""
    first, gathered = 0, list[str]()
    for number, line in enumerate(commands.splitlines()):
        if SERVE.match(line):
            if any(gathered):
                yield first, "\n".join(gathered)
            yield number, line
            first, gathered = number + 1, []
        else:
            gathered.append(line)
    if any(gathered):
        yield first, "\n".join(gathered)
