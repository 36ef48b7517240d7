// Uses a service by undici: node undici.mjs PACKAGES URL. One line a check: its name, a tab, the outcome.
import { subscribe } from "node:diagnostics_channel";
import { createRequire } from "node:module";
import { Readable } from "node:stream";

const [, , packages, url] = process.argv;
const { Agent, Client, WebSocket, fetch } = createRequire(`${packages}/..`)("undici");
const JSON_TYPE = { "Content-Type": "application/json" };
const ECHO = JSON.stringify({ type: "echo", parameters: [1] });
const LINES = `${ECHO}\n`.repeat(500);

let connections = 0;
subscribe("undici:client:connected", () => (connections += 1));

async function check(name, run) {
  let outcome;
  try {
    outcome = await run();
  } catch (error) {
    outcome = `${error} ${error.cause ?? ""}`;
  }
  console.log(`${name}\t${outcome}`);
}

const submit = (options = {}) =>
  fetch(`${url}/api/v1/jobs`, { method: "POST", body: ECHO, headers: JSON_TYPE, ...options });
const jobOf = async (response) => `${url}/api/v1/jobs/${(await response.json()).jobId}`;

await check("submit", async () => (await submit()).status);

await check("submit and wait", async () => {
  const response = await submit({ headers: { ...JSON_TYPE, Prefer: "wait=60" } });
  return `${response.status} ${(await response.json()).result}`;
});

await check("one connection for many requests", async () => {
  const dispatcher = new Agent({ connections: 1 });
  const before = connections;
  for (let sent = 0; sent < 20; sent++) await (await submit({ dispatcher })).text();
  await (await fetch(`${url}/api/v1/nothing`, { dispatcher })).text();
  await (await submit({ dispatcher, body: "{" })).text();
  const used = connections - before;
  await dispatcher.close();
  return used;
});

await check("pipelined", async () => {
  const client = new Client(url, { pipelining: 10 });
  const sent = Array.from({ length: 30 }, async (_, number) => {
    const headers = { "X-Request-Id": `pipelined-${number}` };
    const { statusCode, headers: told, body } = await client.request({ path: "/healthz", method: "GET", headers });
    await body.dump();
    return statusCode === 200 && told["x-request-id"] === headers["X-Request-Id"];
  });
  const right = (await Promise.all(sent)).filter(Boolean).length;
  await client.close();
  return right;
});

await check("head", async () => {
  const response = await fetch(`${url}/healthz`, { method: "HEAD" });
  return `${response.status} ${(await response.text()).length}`;
});

await check("streamed body", async () => {
  const headers = { "Content-Type": "application/x-ndjson" };
  const body = Readable.from([LINES.slice(0, 100), LINES.slice(100)]);
  return (await fetch(`${url}/api/v1/jobs/batch`, { method: "POST", body, headers, duplex: "half" })).status;
});

await check("not modified", async () => {
  const job = await jobOf(await submit({ headers: { ...JSON_TYPE, Prefer: "wait=60" } }));
  const etag = (await fetch(job)).headers.get("ETag");
  return (await fetch(job, { headers: { "If-None-Match": etag } })).status;
});

await check("stream", async () => {
  const job = await jobOf(await submit());
  const text = await (await fetch(`${job}/events/stream`)).text();
  return [...text.matchAll(/^event: (job_\w+)$/gm)].map(([, type]) => type).join(" ");
});

await check("given up", async () => {
  const body = JSON.stringify({ type: "wait-for-gate", parameters: { name: "undici" } });
  const job = await jobOf(await submit({ body }));
  const given = await fetch(`${job}/events/stream`);
  let heard = "";
  for await (const piece of given.body.pipeThrough(new TextDecoderStream())) {
    heard += piece;
    if (heard.includes("job_started")) break;  // which cancels it
  }
  const signal = AbortSignal.timeout(200);
  const ended = await fetch(`${job}?wait=30`, { signal }).catch((error) => error.name);
  return `${ended.status ?? ended} ${(await submit()).status}`;
});

await check("socket", async () => {
  const socket = new WebSocket(`${url.replace("http", "ws")}/ws/jobs`);
  await new Promise((resolve) => socket.addEventListener("open", resolve));
  const heard = new Promise((resolve) => socket.addEventListener("message", ({ data }) => resolve(data)));
  socket.send('{"type":"ping"}');
  return await heard;
});

process.exit(0);
