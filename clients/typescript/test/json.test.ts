import assert from "node:assert/strict";
import { test } from "node:test";
import { parseJson, randomId, stringifyJson } from "../src/json.js";

test("an integer that a double cannot hold is a bigint, all other numbers are numbers", () => {
  const text =
    '{"a":9007199254740993,"b":-123456789012345678901234567890,"c":9007199254740991,"d":0.1,"e":1e21,"f":[1]}';
  assert.deepEqual(parseJson(text), {
    a: 9007199254740993n,
    b: -123456789012345678901234567890n,
    c: 9007199254740991,
    d: 0.1,
    e: 1e21,
    f: [1],
  });
});

test("digits in strings and names stay strings", () => {
  const value = { "9007199254740993": '9007199254740993, "9007199254740993" \\', n: 9007199254740993n };
  assert.deepEqual(parseJson(stringifyJson(value)), value);
});

test("integers of any size are written with all their digits", () => {
  assert.equal(stringifyJson({ a: [12345678901234567890n, -0, 0, 1.5] }), '{"a":[12345678901234567890,-0,0,1.5]}');
});

test("a number that JSON cannot carry is refused by name", () => {
  assert.throws(() => stringifyJson({ rate: Number.NaN }), /rate is NaN/);
  assert.throws(() => stringifyJson([Infinity]), /Infinity/);
  assert.throws(() => stringifyJson(undefined), TypeError);
});

test("text that is no JSON is refused, with many digits too", () => {
  for (const text of ['{"a":12345678901234567890', '"12345678901234567890', "", "12345678901234567890x"]) {
    assert.throws(() => parseJson(text), SyntaxError);
  }
});

test("random ids are UUIDs of version 4", () => {
  assert.match(randomId(), /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.notEqual(randomId(), randomId());
});
