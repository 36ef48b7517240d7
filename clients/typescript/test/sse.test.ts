import assert from "node:assert/strict";
import { test } from "node:test";
import { EventStreamParser } from "../src/sse.js";

const JOB = '{"type":"job_progress","message":"½ grün 🎉, one\u2028two\u0085three"}';

/** Returns type, data, id and retry of each block of a stream that arrives in these pieces. */
function read(...pieces: Uint8Array[]): [string, string, string, number | undefined][] {
  const parser = new EventStreamParser();
  const decoder = new TextDecoder();
  return pieces
    .flatMap((piece) => [...parser.push(decoder.decode(piece, { stream: true }))])
    .map(({ event, data, id, retry }) => [event, data, id, retry]);
}

const bytes = (text: string) => new TextEncoder().encode(text);

for (const end of ["\n", "\r\n", "\r"]) {
  test(`a stream with ${JSON.stringify(end)} may be cut at every byte`, () => {
    const lines = [
      "\ufeffretry: 1000",
      ": c",
      "event: job_progress",
      `data: ${JOB}`,
      "id: 3",
      "",
      "data: a",
      "data: b",
      "",
    ];
    const whole = bytes(lines.map((line) => line + end).join(""));
    const expected = [
      ["job_progress", JOB, "3", 1000],
      ["message", "a\nb", "3", undefined],
    ];
    for (let cut = 0; cut <= whole.length; cut += 1) {
      assert.deepEqual(read(whole.subarray(0, cut), whole.subarray(cut)), expected);
    }
    assert.deepEqual(read(...Array.from(whole, (byte) => Uint8Array.of(byte))), expected);
  });
}

test("a block that the end of the stream cuts off is dropped", () => {
  for (const rest of ["data: ha", "data: half\n", "data: half\r", "data: half\nid: 9\n", "id: 9", "\ufeff"]) {
    assert.deepEqual(read(bytes("data: whole\n\n"), bytes(rest)), [["message", "whole", "", undefined]]);
  }
});

test("comments, unknown fields and invalid pauses are ignored", () => {
  const sent = ": still here\n\nretry: soon\nretry: -5\nnew: field\ndata\nid: 7\0\ndata: x\n\n";
  assert.deepEqual(read(bytes(sent)), [
    ["message", "", "", undefined],
    ["message", "\nx", "", undefined],
  ]);
});
