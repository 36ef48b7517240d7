"""The page on the command line names each command."""

import re

import pytest
import typer.main

from duly.__main__ import application
from tests.support.markdown_blocks import ROOT

PAGE = (ROOT / "docs" / "reference" / "command-line.md").read_text()


def commands() -> list[str]:
    """Returns the names of all commands, such as `queues pause`."""
    found = []
    for name, command in vars(typer.main.get_command(application()))["commands"].items():
        found += [f"{name} {each}" for each in getattr(command, "commands", ())] or [name]
    return found


@pytest.mark.parametrize("command", commands())
def test_a_command_is_named(command: str) -> None:
    group, _, name = command.partition(" ")
    rows = [line for line in PAGE.splitlines() if line.startswith("|") and f"`duly {group}" in line]
    assert any(re.search(rf"`(duly )?({group} )?{name or group}\b", row) for row in rows)
