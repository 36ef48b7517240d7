import assert from "node:assert/strict";
import { test } from "node:test";
import {
  ApiError,
  Client,
  ConflictError,
  InvalidRequestError,
  TooManyRequestsError,
  UnavailableError,
  UnreachableError,
} from "../src/index.js";
import { json, refusal, scripted, systemError } from "./scripted.js";

const ACCEPTED = { jobId: "j1", status: "pending", createdAt: "2026-01-27T10:00:00.000Z", links: {} };
const BROKEN = systemError("ECONNRESET");

test("a submission repeated over a broken connection keeps its idempotency key", async () => {
  const { client, requests, bodies } = scripted([BROKEN, json(202, ACCEPTED)]);
  await client.submit("echo", { n: 1 }, { priority: 5, correlationId: "c-1" });
  assert.equal(requests.length, 2);
  assert.equal(new Set(requests.map((request) => request.headers.get("idempotency-key"))).size, 1);
  assert.equal(requests[0]?.headers.get("x-correlation-id"), "c-1");
  assert.deepEqual(JSON.parse(bodies[1] ?? ""), { priority: 5, type: "echo", parameters: { n: 1 } });
});

test("a cancellation is repeated only if it cannot have arrived", async () => {
  const broken = scripted([BROKEN, json(200, {})]);
  await assert.rejects(broken.client.cancel("j1"), UnreachableError);
  const refused = scripted([systemError("ECONNREFUSED"), json(200, ACCEPTED)]);
  assert.equal((await refused.client.cancel("j1")).jobId, "j1");
});

test("a busy service is asked again after the pause that it names", async () => {
  const { client, requests } = scripted([
    refusal(503, "DRAINING", { "Retry-After": "0" }),
    refusal(409, "IDEMPOTENCY_IN_FLIGHT"),
    json(202, ACCEPTED),
  ]);
  await client.submit("echo");
  assert.equal(requests.length, 3);
});

test("a longer pause is reported to the caller", async () => {
  const { client } = scripted([refusal(429, "RATE_LIMITED", { "Retry-After": "3600" }, { retryable: true })]);
  const error = await client.submit("echo").catch((caught: unknown) => caught);
  assert.ok(error instanceof TooManyRequestsError);
  assert.deepEqual([error.code, error.retryable, error.retryAfterSeconds], ["RATE_LIMITED", true, 3600]);
});

test("a pause that a proxy has written as a date is by the clock of the proxy", async () => {
  const dates = { Date: "Tue, 27 Jan 2026 10:00:00 GMT", "Retry-After": "Tue, 27 Jan 2026 10:10:00 GMT" };
  const { client } = scripted([refusal(503, "OVERLOADED", dates, { remedy: "Add a node." })]);
  const error = await client.get("j1").catch((caught: unknown) => caught);
  assert.ok(error instanceof UnavailableError);
  assert.deepEqual([error.retryAfterSeconds, error.remedy, error.name], [600, "Add a node.", "UnavailableError"]);
});

test("errors have the class of their status", async () => {
  for (const [status, Class] of [
    [409, ConflictError],
    [422, InvalidRequestError],
    [418, ApiError],
  ] as const) {
    await assert.rejects(scripted([refusal(status, "CODE")]).client.get("j1"), Class);
  }
});

test("the page of another program is reported with its address", async () => {
  for (const response of [new Response("<html>"), new Response("<html>", { status: 302 })]) {
    await assert.rejects(scripted([response]).client.get("j1"), /service\.test.* without a Duly error; check the URL/);
  }
});

test("no response in time is reported as unreachable", async () => {
  const silent = (signal: AbortSignal) =>
    new Promise<Response>((_, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason));
    });
  const { client } = scripted([silent], { timeoutSeconds: 0.05 });
  await assert.rejects(client.get("j1"), /no service at http:\/\/service\.test: timed out/);
});

test("the reason of an abort is thrown", async () => {
  const { client } = scripted([json(200, ACCEPTED)]);
  await assert.rejects(client.get("j1", { signal: AbortSignal.abort(new RangeError("enough")) }), RangeError);
});

test("an id cannot lead to another path", async () => {
  const { client, requests } = scripted([refusal(404, "NOT_FOUND")]);
  await assert.rejects(client.get("../webhooks?x=/"), ApiError);
  assert.equal(requests[0]?.url, "http://service.test/api/v1/jobs/..%2Fwebhooks%3Fx%3D%2F");
  for (const id of ["", ".", ".."]) await assert.rejects(client.get(id), /jobId must not be/);
});

test("an address that is no URL, and a key that is no header, are refused by name", () => {
  for (const url of ["localhost:8000", "ftp://host", "http://", "http://h:x", "http://user@host", "http://host/?a"]) {
    assert.throws(
      () => new Client({ url }),
      (error: Error) => error.message.includes(JSON.stringify(url)),
    );
  }
  assert.throws(() => new Client({ apiKey: "a\nb" }), TypeError);
});

test("a reader of JSON can be replaced, to keep the digits of fractions", async () => {
  const parse = (text: string) => JSON.parse(text.replace(/0\.10+/g, '"$&"'));
  const { client } = scripted([new Response('{"result":0.1000}')], { parse });
  assert.equal((await client.get("j1")).result, "0.1000");
});

test("lists are read page by page", async () => {
  const { client, requests } = scripted([
    json(200, { items: [{ jobId: "a" }], nextCursor: "c1" }),
    json(200, { items: [], nextCursor: "c2" }),
    json(200, { items: [{ jobId: "b" }], nextCursor: null }),
  ]);
  const found = [];
  for await (const job of client.list({ statuses: ["failed", "cancelled"], labels: { a: "b" }, pageSize: 1 }))
    found.push(job.jobId);
  assert.deepEqual(found, ["a", "b"]);
  const [first, second] = requests.map((request) => new URL(request.url).search);
  assert.equal(first, "?label=a%3Ab&status=failed&status=cancelled&limit=1");
  assert.equal(second, `${first}&cursor=c1`);
});
