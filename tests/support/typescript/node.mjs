// node.mjs DIST OPTIONS: performs calls by lines of JSON on standard input, and responds on standard output.
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";
import { calls } from "./calls.mjs";

const [dist, options] = process.argv.slice(2);
const duly = await import(pathToFileURL(`${dist}/index.js`));
const send = (message) => process.stdout.write(`${duly.stringifyJson(message)}\n`);
const receive = calls(duly, JSON.parse(options), send);

for await (const line of createInterface({ input: process.stdin })) receive(duly.parseJson(line));
process.exit(0);
