import assert from "node:assert/strict";
import { test } from "node:test";
import { JobNotCompletedError, WaitTimeoutError } from "../src/index.js";
import { events, frame, json, refusal, type Scripted, scripted, systemError } from "./scripted.js";

const job = (sequence: number, status: string, members: object = {}, headers = {}) =>
  json(
    200,
    { jobId: "j1", sequence, status, progress: null, progressMessage: null, result: null, ...members },
    headers,
  );

/** Event stream, or long poll, that a proxy holds back. */
const heldBack = (signal: AbortSignal) =>
  new Promise<Response>((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));

const quick = { firstByteSeconds: 0.05, timeoutSeconds: 10 };

test("waiting follows the stream after the state that was read, and returns the job that ended", async () => {
  const { client, requests } = scripted([
    job(3, "running", { progress: 25, progressMessage: "rows" }),
    events(
      `event: job_progress\ndata: {"type":"job_progress","jobId":"j1","sequence":4,"progress":50,"message":null}\nid: 4\n\n${frame(5, "job_completed")}`,
    ),
    job(5, "completed", { progress: 50, result: 7 }),
  ]);
  const told: unknown[] = [];
  const ended = await client.wait("j1", { onProgress: ({ sequence, progress }) => told.push([sequence, progress]) });
  assert.deepEqual([ended.status, ended.result], ["completed", 7]);
  assert.deepEqual(told, [
    [3, 25],
    [4, 50],
  ]);
  assert.equal(requests[1]?.headers.get("last-event-id"), "3");
});

test("a proxy that holds back streams makes it poll with the sequence, and one that cuts long polls by intervals", async () => {
  const answers: Scripted[] = [
    job(1, "running"),
    heldBack,
    job(2, "running"),
    refusal(504, "GATEWAY"),
    job(3, "running", {}, { "Retry-After": "0" }),
    systemError("ECONNRESET"),
    job(3, "running", {}, { "Retry-After": "0" }),
    job(4, "completed"),
  ];
  const { client, requests } = scripted(answers);
  assert.equal((await client.wait("j1", quick)).sequence, 4);
  assert.deepEqual(
    requests.slice(2).map((request) => [new URL(request.url).search, request.headers.get("if-none-match")]),
    [
      ["?wait=30", '"1"'],
      ["?wait=30", '"2"'],
      ["", null],
      ["?wait=30", '"3"'],
      ["", null],
      ["", null],
    ],
  );
});

test("a job that was retried meanwhile is waited for again", async () => {
  const { client } = scripted([
    job(1, "running"),
    events(frame(2, "job_failed")),
    job(3, "pending"),
    events(frame(4, "job_completed")),
    job(4, "completed"),
  ]);
  assert.equal((await client.wait("j1")).status, "completed");
});

test("a job that did not complete has no result", async () => {
  const error = { code: "CUSTOMER_UNKNOWN", message: "no such customer", details: {} };
  const { client } = scripted([job(2, "failed", { error })]);
  const thrown = await client.result("j1").catch((caught: unknown) => caught);
  assert.ok(thrown instanceof JobNotCompletedError);
  assert.deepEqual([thrown.code, thrown.message], ["CUSTOMER_UNKNOWN", "job j1 failed: no such customer"]);
});

test("the timeout holds on every step of the way", async () => {
  const steps: Scripted[][] = [[heldBack], [job(1, "running"), heldBack], [job(1, "running"), heldBack, heldBack]];
  for (const answers of steps) {
    const waiting = scripted(answers).client.wait("j1", { firstByteSeconds: 0.05, timeoutSeconds: 0.2 });
    await assert.rejects(waiting, new WaitTimeoutError("j1", 0.2));
  }
});
