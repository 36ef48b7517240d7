import assert from "node:assert/strict";
import { test } from "node:test";
import { ApiError, type FrameStream, UnreachableError } from "../src/index.js";
import { events, frame, json, refusal, scripted, systemError } from "./scripted.js";

async function types(stream: FrameStream): Promise<string[]> {
  const seen: string[] = [];
  for await (const one of stream) seen.push(one.type);
  return seen;
}

const resumedAfter = (requests: Request[]) => requests.map((request) => request.headers.get("last-event-id"));

test("a broken stream is resumed after the last whole frame", async () => {
  const { client, requests } = scripted([
    events(`${frame(0, "job_submitted")}${frame(1, "job_started")}event: job_progress\nid: 2\n`, { breaks: true }),
    systemError("ECONNREFUSED"),
    refusal(503, "DRAINING", { "Retry-After": "0" }),
    events(frame(2, "job_completed")),
  ]);
  assert.deepEqual(await types(client.stream("j1")), ["job_submitted", "job_started", "job_completed"]);
  assert.deepEqual(resumedAfter(requests), [null, "1", "1", "1"]);
});

test("a stream of a job retried by hand goes on past its first end", async () => {
  const { client } = scripted([
    events(frame(2, "job_failed") + frame(3, "job_retrying")),
    events(frame(4, "job_completed")),
  ]);
  assert.deepEqual(await types(client.stream("j1")), ["job_failed", "job_retrying", "job_completed"]);
});

test("a stream that breaks after the end of the job asks whether there is more", async () => {
  const { client, requests } = scripted([
    events(frame(2, "job_failed"), { breaks: true }),
    new Response(null, { status: 204 }),
  ]);
  assert.deepEqual(await types(client.stream("j1")), ["job_failed"]);
  assert.deepEqual(resumedAfter(requests), [null, "2"]);
});

test("the stream of all jobs goes on past every end, and resumes after positions", async () => {
  const position = 'event: position\ndata: {"type":"position"}\nid: p1\n\n';
  const { client, requests } = scripted([
    events(position),
    events(`${frame(2, "job_completed")}event: overflow\ndata: {"type":"overflow"}\n\n`),
    events(frame(3, "job_completed")),
  ]);
  const stream = client.streamAll({ types: ["a", "b"], labels: { x: "y" } });
  const seen: string[] = [];
  for await (const one of stream) {
    seen.push(one.id);
    if (one.id === "3") break;
  }
  assert.deepEqual(seen, ["2", "3"]);
  assert.equal(stream.lastEventId, "3");
  assert.deepEqual(resumedAfter(requests), [null, "p1", "2"]);
  assert.equal(new URL(requests[0]?.url ?? "").search, "?type=a&type=b&label=x%3Ay");
});

test("an opened stream has its position before its first frame, and its loop begins with that", async () => {
  const position = 'event: position\ndata: {"type":"position"}\nid: p1\n\n';
  const { client, requests } = scripted([events(position, { breaks: true }), events(frame(2, "job_completed"))]);
  const stream = await client.streamAll().open();
  assert.deepEqual([stream.lastEventId, requests.length], ["p1", 1]);
  assert.equal((await stream.next()).value?.type, "job_completed");
  stream.close();
  await assert.rejects(
    scripted([refusal(403, "SCOPE_MISSING")])
      .client.streamAll()
      .open(),
    ApiError,
  );
});

test("each connection of a page gets a new ticket, and no key", async () => {
  const { client, requests } = scripted(
    [events(frame(1, "job_started"), { breaks: true }), events(frame(2, "job_completed"))],
    {
      apiKey: "secret",
    },
  );
  let tickets = 0;
  const nextTicket = () => {
    tickets += 1;
    if (tickets === 2) throw new TypeError("failed to fetch");
    return `t${tickets}`;
  };
  await types(client.stream("j1", { ticket: nextTicket }));
  assert.deepEqual(
    requests.map((request) => new URL(request.url).search),
    ["?ticket=t1", "?ticket=t3&lastEventId=1"],
  );
  assert.deepEqual(
    requests.map((request) => request.headers.get("authorization")),
    [null, null],
  );
});

test("a refused stream fails at once, and one that stays broken in the end", async () => {
  await assert.rejects(types(scripted([refusal(404, "NOT_FOUND")]).client.stream("j1")), ApiError);
  await assert.rejects(types(scripted([json(200, {})]).client.stream("j1")), /without a Duly error/);
  const down = scripted(Array.from({ length: 9 }, () => systemError("ECONNREFUSED")));
  await assert.rejects(types(down.client.stream("j1")), UnreachableError);
  assert.equal(down.requests.length, 4);
});

test("a silent connection is replaced", async () => {
  const silent = (signal: AbortSignal) =>
    new Promise<Response>((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
  const { client } = scripted([silent, events(frame(2, "job_completed"))]);
  assert.deepEqual(await types(client.stream("j1", { silenceSeconds: 0.05 })), ["job_completed"]);
});

test("closing a stream ends its loop, aborting it throws the reason", async () => {
  const open = (signal: AbortSignal) =>
    new Promise<Response>((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
  const closed = scripted([open]).client.stream("j1");
  setTimeout(() => closed.close(), 20);
  assert.deepEqual(await types(closed), []);
  const controller = new AbortController();
  const aborted = types(scripted([open]).client.stream("j1", { signal: controller.signal }));
  setTimeout(() => controller.abort(new RangeError("enough")), 20);
  await assert.rejects(aborted, RangeError);
});
