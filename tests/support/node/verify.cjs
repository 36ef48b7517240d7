// Hands each webhook of standard input to the published library, and says what it made of it.
const { Webhook, WebhookVerificationError } = require("standardwebhooks");
const { webhooks } = require("../snippets/webhooks.cjs");

for (const { headers, body, keys } of webhooks()) {
  const [secret] = keys;
  try {
    const options = secret.startsWith("whsec_") ? {} : { format: "raw" };
    const told = new Webhook(secret, options).verify(body, headers);
    console.log(`accepted ${told?.type ?? ""}`.trim());
  } catch (error) {
    if (!(error instanceof WebhookVerificationError)) throw error;
    console.log(`refused ${error.message}`);
  }
}
