// run.mjs SNIPPET secrets|jwks
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const { webhooks } = createRequire(import.meta.url)("./webhooks.cjs");
const { verifyWebhook } = await import(pathToFileURL(process.argv[2]));

for (const { headers, body, keys } of webhooks()) {
  try {
    verifyWebhook(headers, body, process.argv[3] === "jwks" ? JSON.parse(keys[0]) : keys);
    console.log("accepted");
  } catch (error) {
    if (error.constructor !== Error) throw error;
    console.log(`refused ${error.message}`);
  }
}
