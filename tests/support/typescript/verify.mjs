// verify.mjs DIST: verdicts of `verifyWebhook` on the webhooks on standard input. A key that is an object is a JWKS.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const { webhooks } = createRequire(import.meta.url)("../snippets/webhooks.cjs");
const { SignatureError, verifyWebhook } = await import(pathToFileURL(`${process.argv[2]}/index.js`));

for (const { headers, body, keys } of webhooks()) {
  try {
    const event = await verifyWebhook(headers, body, keys[0]?.startsWith("{") ? JSON.parse(keys[0]) : keys);
    console.log(`accepted ${event.id} ${event.type}`);
  } catch (error) {
    console.log(`${error instanceof SignatureError ? "refused" : "mistake"} ${error.message}`);
  }
}
