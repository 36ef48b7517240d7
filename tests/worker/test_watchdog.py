"""A handler that blocks the event loop is named, with its current line."""

import inspect

from structlog.testing import capture_logs

from tests.support import handlers as support
from tests.support.service import Service


async def test_a_handler_that_blocks_the_loop_is_named_with_its_line(service: Service) -> None:
    with capture_logs() as logs:
        view = await service.run("block-loop", {"seconds": 1.2})
    assert view["result"] == "blocked"
    lines = [line for line in logs if line.get("action") == "loop_blocked"]
    assert len(lines) == 1  # once for each time, not once for each look
    line = lines[0]
    source, first = inspect.getsourcelines(support.blocking_loop)
    blocking = first + next(number for number, text in enumerate(source) if "time.sleep" in text)
    assert (line["log_level"], line["job_type"]) == ("warning", "block-loop")
    assert line["location"] == f"{support.__file__}:{blocking}"
    assert line["location"] in line["event"]
    assert 0.5 <= line["seconds"] < 3


async def test_a_loop_that_turns_is_left_in_peace(service: Service) -> None:
    with capture_logs() as logs:
        await service.run("sleep", {"seconds": 0.8, "steps": 4})
    assert [line for line in logs if line.get("job_type") == "sleep" and line.get("action") == "loop_blocked"] == []
