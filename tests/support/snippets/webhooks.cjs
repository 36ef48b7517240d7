// Reads webhooks from standard input: one a line, each field in base64, with tabs between.
const { readFileSync } = require("node:fs");

const NAMES = ["webhook-id", "webhook-timestamp", "webhook-signature"];

exports.webhooks = () =>
  readFileSync(0, "ascii").split("\n").filter(Boolean).map((line) => {
    const fields = line.split("\t").map((field) => Buffer.from(field, "base64"));
    const told = NAMES.map((name, place) => [name, fields[place].toString()]).filter(([, value]) => value !== "");
    return { headers: Object.fromEntries(told), body: fields[3], keys: fields.slice(4).map(String) };
  });
