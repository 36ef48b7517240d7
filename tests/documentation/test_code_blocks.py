"""Every code block of README.md and docs/ that can run is run. A marker above a block gives the reason if it cannot."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Final

import pytest
import yaml

from tests.support.code_blocks import RUN, compiled, reading
from tests.support.markdown_blocks import ROOT, Block, blocks, pages
from tests.support.shell_steps import BlockFailed, steps

# Pages whose commands and files have a test of their own.
ELSEWHERE: Final = {"docs/get-started/tutorial.md": "test_tutorial.py"}
HADOLINT: Final = Path(sys.executable).with_name("hadolint")
SHOWN: Final = frozenset({"json", "jsonl", "toml", "yaml", "dockerfile", "text", "http", "mermaid"})
RUNNABLE: Final = [
    page for page in pages() if page not in ELSEWHERE and any(b.language in RUN and b.runs for b in blocks(page))
]


@pytest.mark.parametrize("page", pages())
def test_the_blocks_of_a_page_can_be_read(page: str) -> None:
    wrong = [f"{block.place}: {what}" for block in blocks(page) if (what := fault(block))]
    assert not wrong, "\n" + "\n".join(wrong)


@pytest.mark.parametrize("page", RUNNABLE)
async def test_the_blocks_of_a_page_run(page: str, database_url: str, tmp_path: Path) -> None:
    async with reading(blocks(page), tmp_path, database_url) as reader:
        await reader.run()


def test_no_two_pages_show_different_files_of_one_name() -> None:
    """A reader who works through several pages keeps one folder."""
    seen: dict[str, str] = {}
    for page in pages():
        titles = {b.title for b in blocks(page) if b.language == "python" and b.title and page not in ELSEWHERE}
        for title in titles:
            assert title not in seen, f"{page} and {seen[title]} both show {title}"
            seen[title] = page


def fault(block: Block) -> str | None:
    """Returns the fault that a block has without being run, or None."""
    if block.title and block.title.startswith("examples/") and block.text not in (ROOT / block.title).read_text():
        return f"differs from {block.title}"
    if not block.language:
        return "no language; use `text` for plain text"
    if block.run_by and not (ROOT / block.run_by).is_file():
        return f"{block.run_by} does not exist"
    known = block.language in RUN | SHOWN
    if block.runs and not known and not (block.page in ELSEWHERE and block.title):
        return f"no test runs {block.language}; put the reason above it: <!-- not-run: ... -->"
    return _syntax_fault(block)


def _syntax_fault(block: Block) -> str | None:
    try:
        _parse(block)
    except (SyntaxError, ValueError, yaml.YAMLError, BlockFailed) as error:
        return f"not {block.language}: {error}"
    return None


def _parse(block: Block) -> None:
    match block.language:
        case "python":
            compiled(block.text, block.place)
        case "sh" | "bash" | "console":
            _parse_shell("\n".join(step.command for step in steps(block)))
        case "json":
            json.loads(block.text)
        case "jsonl":
            for line in block.text.splitlines():
                json.loads(line)
        case "toml":
            tomllib.loads(block.text)
        case "yaml":
            yaml.safe_load(block.text)
        case "dockerfile":
            _ask(HADOLINT, "--failure-threshold", "warning", "-", given=block.text)
        case "text" if any(line.startswith("$ ") for line in block.text.splitlines()):
            raise ValueError("use `console` for commands and their output")


def _parse_shell(commands: str) -> None:
    _ask("bash", "-n", given=commands)


def _ask(*command: str | Path, given: str) -> None:
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode:
        raise ValueError(f"{done.stdout}{done.stderr}")
