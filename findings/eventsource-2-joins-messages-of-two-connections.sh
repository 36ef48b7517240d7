#!/usr/bin/env bash
# npm eventsource 2.0.2 keeps the data of a message that a broken connection cut off, and joins it with the first message
# of the next connection. By the standard (HTML, 9.2.6) what is incomplete at the end of a stream is discarded.
# Seen: one message with the data of two.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund --ignore-scripts eventsource@2.0.2
node - <<'JAVASCRIPT'
const { createServer } = require("node:http");
const EventSource = require("eventsource");

let requests = 0;
createServer((request, response) => {
  requests += 1;
  response.writeHead(200, { "Content-Type": "text/event-stream" });
  if (requests > 1) return response.write("data: whole\n\n");
  response.write("retry: 10\ndata: cut off\n", () => setTimeout(() => response.destroy(), 100));
}).listen(0, "127.0.0.1", function () {
  new EventSource(`http://127.0.0.1:${this.address().port}/`).onmessage = ({ data }) => {
    console.log(`got: ${JSON.stringify(data)}`);
    process.exit(data === "cut off\nwhole" ? 0 : 1);
  };
});
JAVASCRIPT
