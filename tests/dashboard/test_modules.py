"""Modules of the dashboard by themselves: exact JSON text, times and counts as text, addresses and routes."""

from typing import Any

import pytest

from tests.support.browser import Browser
from tests.support.dashboard import Dashboard
from tests.support.service import Service

# `m` is the module. The policy of the page forbids to evaluate a text, so the call is part of the script.
IMPORT = """
const [name, a, b] = arguments
const url = document.querySelector('script[type=module]').src.replace('app.js', name)
return import(url).then(async m => {{ {call} }})
"""
JSON = "lib/json.js"
EXACT = '{"b":12345678901234567890.10,"a":[1e400,-0,{}],"t":"a\\"{,}\\u0041","empty":[],"n":null}'
LAID_OUT = """{
  "b": 12345678901234567890.10,
  "a": [
    1e400,
    -0,
    {}
  ],
  "t": "a\\"{,}\\u0041",
  "empty": [],
  "n": null
}"""
NOW = "Date.parse('2026-03-29T12:00:00Z')"


@pytest.mark.parametrize(
    ("module", "call", "values", "expected"),
    [
        (JSON, "m.pretty(a)", [EXACT], LAID_OUT),
        (JSON, "m.pretty(a)", [LAID_OUT], LAID_OUT),
        (JSON, "m.pretty(a)", ["12345678901234567890"], "12345678901234567890"),
        (JSON, "m.pretty(a)", ['"a: [b]"'], '"a: [b]"'),
        (JSON, "m.member(a, b)", [EXACT, "b"], "12345678901234567890.10"),
        (JSON, "m.member(a, b)", [EXACT, "a"], "[1e400,-0,{}]"),
        (JSON, "m.member(a, b)", [EXACT, "nothing"], None),
        (JSON, "m.member(a, b)", ['{"a":{"result":1}}', "result"], None),
        (JSON, "m.member(a, b)", ['{"__proto__":1}', "__proto__"], "1"),
        (JSON, "m.itemTexts(a)", ['[1.10, [2, 3], {"a": [4]}]'], ["1.10", "[2,3]", '{"a":[4]}']),
        (JSON, "m.itemTexts(a)", ["[]"], []),
        (JSON, "m.jsonError(a) === null", ['{"a": 1}'], True),
        (JSON, "m.jsonError(a) === null", ["{a: 1}"], False),
        ("components/plot.js", "m.alone({data: [[], a]}, 1)", [[5, None, 5, 5, None, 0]], [0, 5]),
        ("components/plot.js", "m.alone({data: [[], a]}, 1)", [[5, 5, None]], None),
        ("lib/format.js", "m.duration(a)", [12.4], "12 ms"),
        ("lib/format.js", "m.duration(a)", [3450], "3.5 s"),
        ("lib/format.js", "m.duration(a)", [307_000], "5 min 7 s"),
        ("lib/format.js", "m.duration(a)", [2 * 86_400_000 + 3 * 3_600_000], "2 d 3 h"),
        ("lib/format.js", "m.duration(a)", [3_600_000], "1 h"),
        ("lib/format.js", f"m.relative('2026-03-29T11:57:00Z', {NOW})", [], "3 min ago"),
        ("lib/format.js", f"m.relative('2026-03-29T14:00:01Z', {NOW})", [], "in 2 h"),
        ("lib/format.js", f"m.relative('2026-03-29T12:00:00Z', {NOW})", [], "now"),
        ("lib/format.js", "m.count(a)", [1_234_567], "1,234,567"),
        ("lib/format.js", "m.count(a)", [None], "\u2013"),
        ("lib/format.js", "m.plural(a, 'job')", [1], "1 job"),
        ("lib/format.js", "m.rate(a)", [1234.5], "1,200/s"),
        (
            "lib/api.js",
            "m.address(a, {type: ['a', 'b&c'], queue: '', limit: 0})",
            ["/jobs"],
            "?type=a&type=b%26c&limit=0",
        ),
        ("lib/router.js", "m.match(a, {'/ui/jobs/:id': 1, '/ui/jobs': 2}).params.id", ["/ui/jobs/a%2Fb"], "a/b"),
        ("lib/router.js", "m.match(a, {'/ui/jobs/:id': 1, '/ui/jobs': 2}).route", ["/ui/jobs/"], 2),
        ("lib/router.js", "m.match(a, {'/ui/jobs/:id': 1})", ["/ui/jobs/1/2"], None),
    ],
)
async def test_a_function_of_a_module(
    contract: Service, browser: Browser, module: str, call: str, values: list[Any], expected: object
) -> None:
    if "/ui/nodes" not in await browser.run("return location.href"):
        await browser.open(f"{contract.url}/ui/nodes")
    found = await browser.run(IMPORT.format(call=f"return {call}"), module, *values)
    assert found == (f"/api/v1/jobs{expected}" if "address" in call else expected)


async def test_texts_of_an_error_name_its_fields_and_its_request(dashboard: Dashboard) -> None:
    await dashboard.open("/ui/nodes")
    call = """
        try { await m.send('POST', '/jobs', a) } catch (error) {
            return [error.name, error.status, error.code, error.fields, error.requestId.length > 5]
        }
    """
    found = await dashboard.run(IMPORT.format(call=call), "lib/api.js", {"type": "echo", "prioritty": 1})
    assert found[:3] == ["ApiError", 422, "VALIDATION_FAILED"]
    assert "priority" in found[3]["prioritty"]
    assert found[4] is True
    assert await dashboard.console_errors(besides=["422"]) == []
