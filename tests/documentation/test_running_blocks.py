"""Finding, running and comparing of blocks: a block that deviates from its page is reported by page and line."""

from pathlib import Path

import pytest

from tests.support.code_blocks import reading
from tests.support.markdown_blocks import Block, MarkerError, read_blocks
from tests.support.shell_steps import BlockFailed, steps
from tests.support.shown_output import Mismatch, compare, compare_json

PAGE = """# Page

<!-- not-run: needs Docker -->
```sh
docker compose up
```

```python title="jobs.py"
pass
```

=== "uv"

    <!-- setup
    ID=7
    -->
    ```console
    $ echo $ID
    7
    ```
"""


def block(language: str, text: str, *, line: int = 11, follows_block: bool = False) -> Block:
    return Block("docs/page.md", line, language, text, follows_block=follows_block)


async def run(folder: Path, *blocks: Block) -> None:
    async with reading(blocks, folder, "postgresql://not-used") as page:
        await page.run()


def test_blocks_have_their_line_their_file_and_their_markers() -> None:
    first, second, third = read_blocks(PAGE, "docs/page.md")
    assert (first.place, first.not_run, first.runs) == ("docs/page.md:5", "needs Docker", False)
    assert (second.place, second.title, second.language) == ("docs/page.md:9", "jobs.py", "python")
    assert (third.place, third.setup, third.runs) == ("docs/page.md:18", "ID=7", True)


@pytest.mark.parametrize(
    "text", ["<!-- not-run -->\n```sh\nls\n```\n", "<!-- not-run: a reason -->\n\nText.\n", "<!-- setup\nID=7\n-->\n"]
)
def test_a_marker_without_a_reason_or_without_a_block_is_refused(text: str) -> None:
    with pytest.raises(MarkerError, match=r"^docs/page\.md:1: "):
        list(read_blocks(text, "docs/page.md"))


def test_a_command_of_a_console_ends_where_its_quotes_and_backslashes_end() -> None:
    found = list(steps(block("console", "$ echo '{\n  \"n\": 1}' \\\n   more\n{…}\n$ true\n")))
    assert [(step.line, step.command, step.shown) for step in found] == [
        (11, "echo '{\n  \"n\": 1}' \\\n   more", "{…}"),
        (15, "true", ""),
    ]


def test_shown_output_may_leave_things_out_and_has_other_ids_and_times() -> None:
    printed = '{"jobId":"01a22d60-0101-754e-bbd2-936d805817f3","at":"2026-11-30T16:53:39.425Z","n":1}'
    compare('{"jobId": "0199c1f0-…",\n "at": "2026-01-27T10:00:00.000Z", …}', printed)
    with pytest.raises(Mismatch):
        compare('{"jobId":"0199c1f0-…","at":"2026-01-27T10:00:00.000Z","n":2}', printed)


def test_shown_json_has_the_members_of_the_printed_one() -> None:
    printed = 'first {"old": 1}\n{"items": [{"name": "a", "at": null, "more": 1}], "nextCursor": null}'
    compare_json('{"items": [{"name": "…", "at": "…"}]}', printed)
    with pytest.raises(Mismatch, match=r"^\$\.items\[0\]\.title is shown; printed are name, at, more$"):
        compare_json('{"items": [{"title": "…"}]}', printed)
    with pytest.raises(Mismatch, match=r"^\$\.items\[0\]\.name is "):
        compare_json('{"items": [{"name": 7}]}', printed)


async def test_variables_functions_and_files_stay_for_the_next_blocks_of_a_page(tmp_path: Path) -> None:
    await run(
        tmp_path,
        block("sh", 'NAME=duly\ngreet() { echo "hello $1"; }\necho "{\\"n\\": 1}" > file.json\n'),
        block("console", "$ greet $NAME\nhello duly\n"),
        block("sh", "cat file.json\n"),
        block("json", '{"n": 2}\n', follows_block=True),
        block("python", "# numbers_of_the_page.py\nfirst = 1\n"),
        block("python", "# numbers_of_the_page.py\nsecond = first + 1\n"),
        block("python", "import asyncio\nfrom numbers_of_the_page import second\nawait asyncio.sleep(0)\n"),
        block("python", "async def test_it():\n    assert second == 2\n"),
    )


@pytest.mark.parametrize(
    ("language", "text", "message"),
    [
        ("sh", "true\nfalse\ntrue\n", "docs/page.md:12: `false"),
        ("console", "$ true\n$ echo 8\n7\n", "docs/page.md:12: `echo 8` prints something else"),
        ("sh", "curl -s http://127.0.0.1:1/ || true\n", "docs/page.md:11: curl -s http://127.0.0.1:1/: status 0"),
        ("python", "one = 1\ntwo\n", "docs/page.md:11: NameError: name 'two' is not defined"),
        ("python", "def test_it():\n    assert False\n", "docs/page.md:11: AssertionError"),
        ("python", "# no_module_of_mine.py\nimport nothing_of_this_name\n", "docs/page.md:11: ModuleNotFoundError"),
    ],
)
async def test_a_block_that_fails_is_named_by_page_and_line(
    language: str, text: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(BlockFailed) as failed:
        await run(tmp_path, block(language, text))
    assert str(failed.value).startswith(message)
