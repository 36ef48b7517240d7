#!/usr/bin/env bash
# @microsoft/fetch-event-source 2.0.1 takes the id of a message as soon as it has read that line, before the message is
# whole. By the standard (HTML, 9.2.6) an id counts at the blank line that ends its message. Where a connection breaks
# between the two, it resumes after a message whose data it never got.
# Seen: it got the message 1 only, and asks for what follows 2.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund --ignore-scripts @microsoft/fetch-event-source@2.0.1
node - <<'JAVASCRIPT'
const { createServer } = require("node:http");
const { fetchEventSource } = require("@microsoft/fetch-event-source");

globalThis.window = globalThis; // it is made for pages
globalThis.document = { addEventListener() {}, removeEventListener() {} };
const got = [];
let requests = 0;
createServer((request, response) => {
  requests += 1;
  if (requests === 1) {
    response.writeHead(200, { "Content-Type": "text/event-stream" });
    response.write("id: 1\ndata: {}\n\nid: 2\n", () => setTimeout(() => response.destroy(), 100));
    return;
  }
  console.log(`got: ${got}; asks for what follows: ${request.headers["last-event-id"]}`);
  process.exit(String(got) === "1" && request.headers["last-event-id"] === "2" ? 0 : 1);
}).listen(0, "127.0.0.1", function () {
  fetchEventSource(`http://127.0.0.1:${this.address().port}/`, {
    openWhenHidden: true,
    onmessage: ({ id }) => got.push(id),
    onerror: () => 10,
  });
});
JAVASCRIPT
