#!/usr/bin/env bash
# npm reconnecting-eventsource 1.6.5 remembers the ID of a message only if the message is an instance of the global class
# MessageEvent. npm undici 7.16.0 brings an EventSource with a message class of its own. Where the two meet in Node.js,
# the client that replaces the EventSource after a refused connection asks again without an ID.
# Seen: Last-Event-ID of the requests: none, "7" (undici by itself, after the stream ended), none (after the 204).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund --ignore-scripts reconnecting-eventsource@1.6.5 undici@7.16.0
node --no-warnings - <<'JAVASCRIPT'
const { createServer } = require("node:http");
const { EventSource } = require("undici");
const Reconnecting = require("reconnecting-eventsource").default;

const ids = [];
let received;
createServer((request, response) => {
  ids.push(request.headers["last-event-id"] ?? null);
  if (ids.length === 1) {
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    return response.end("retry: 10\nid: 7\ndata: one\n\n");
  }
  if (ids.length === 2) return response.writeHead(204).end();
  console.log(`received: ${received}; Last-Event-ID of the requests: ${JSON.stringify(ids)}`);
  process.exit(received === "7" && ids[2] === null ? 0 : 1);
}).listen(0, "127.0.0.1", function () {
  const url = `http://127.0.0.1:${this.address().port}/`;
  const stream = new Reconnecting(url, { eventSourceClass: EventSource, max_retry_time: 10 });
  stream.onmessage = ({ lastEventId }) => (received = lastEventId);
});
setTimeout(() => process.exit(1), 20_000);
JAVASCRIPT
