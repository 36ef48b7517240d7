#!/usr/bin/env bash
# event-source-polyfill 1.0.31 reconnects without end after a 204, which by the standard (HTML, 9.2.3) tells a client to
# stop: with `fetch`, such an answer has no body, and the polyfill takes that for a broken connection.
# Seen: three requests and more, where the second was answered 204.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund --ignore-scripts event-source-polyfill@1.0.31
node - <<'JAVASCRIPT'
const { createServer } = require("node:http");
const { EventSourcePolyfill } = require("event-source-polyfill");

let requests = 0;
console.error = () => {}; // it writes each broken connection there
const server = createServer((request, response) => {
  requests += 1;
  if (requests > 1) return response.writeHead(204).end();
  response.writeHead(200, { "Content-Type": "text/event-stream" }).end("id: 1\ndata: {}\n\n");
}).listen(0, "127.0.0.1", () => {
  new EventSourcePolyfill(`http://127.0.0.1:${server.address().port}/`);
  setTimeout(() => {
    console.log(`requests: ${requests}, where a client that stops at the 204 makes 2`);
    process.exit(requests > 2 ? 0 : 1);
  }, 5000);
});
JAVASCRIPT
