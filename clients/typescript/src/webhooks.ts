/** Verification of webhooks by a receiver: https://www.standardwebhooks.com */

import { SignatureError } from "./errors.js";
import { parseJson } from "./json.js";

const TOLERANCE_SECONDS = 300;
// More than any rotation needs. Each one costs a computation, and anyone can send them.
const MOST_SIGNATURES = 20;
const PUBLIC_PREFIX = "whpk_";
const SECRET_PREFIX = "whsec_";

/** Headers of a request: `Headers`, `request.headers` of Node.js, or pairs. */
export type WebhookHeaders =
  | Headers
  | Iterable<readonly [string, string]>
  | Record<string, string | readonly string[] | undefined>;

/**
 * Keys to verify with: a secret (`whsec_…` or plain text) or a public key (`whpk_…`), several during a rotation, or a
 * JWKS as the service returns it. One matching key is sufficient. Secrets verify `v1`, public keys `v1a` signatures.
 */
export type WebhookKeys = string | readonly string[] | { keys: readonly object[] };

export interface VerifyOptions {
  /** Maximum difference between the timestamp of the webhook and the clock, in seconds. Default: 300. */
  toleranceSeconds?: number | undefined;
  /** Time of the clock, in Unix seconds. */
  now?: number | undefined;
}

/** Webhook with a valid signature. */
export interface WebhookEvent<Body = Record<string, unknown>> {
  /** Id of the webhook, the same on every retry. Store it with the effects of the webhook, and skip known ids. */
  id: string;
  /** Event type, such as `job.completed`. */
  type: string;
  /** Time of this delivery attempt. */
  sentAt: Date;
  body: Body;
}

type Verifier = (
  version: string,
  signature: Uint8Array<ArrayBuffer>,
  content: Uint8Array<ArrayBuffer>,
) => Promise<boolean>;

/**
 * Returns the event of a webhook with a valid signature.
 *
 * @param body The body as received, in bytes: `await request.arrayBuffer()`, or a `Buffer`.
 * @throws {SignatureError} The webhook must not be trusted.
 * @throws {TypeError} The body is not bytes, or a key is malformed or missing: a mistake of the receiver.
 */
export async function verifyWebhook<Body = Record<string, unknown>>(
  headers: WebhookHeaders,
  body: Uint8Array | ArrayBuffer,
  keys: WebhookKeys,
  options: VerifyOptions = {},
): Promise<WebhookEvent<Body>> {
  if (!(body instanceof Uint8Array || body instanceof ArrayBuffer)) {
    throw new TypeError("body must be the bytes as received, not decoded or parsed");
  }
  const raw = new Uint8Array(body);
  const verifiers = await verifiersOf(keys);
  const signed = readHeaders(headers, options);
  const content = concatenated(new TextEncoder().encode(`${signed.id}.${signed.timestamp}.`), raw);
  for (const text of signed.signatures) {
    const [version = "", encoded = ""] = text.split(",", 2);
    const signature = decoded(encoded);
    for (const verify of signature ? verifiers : []) {
      if (await verify(version, signature as Uint8Array<ArrayBuffer>, content)) return event(signed, raw);
    }
  }
  throw new SignatureError("No signature in webhook-signature matches the body and the keys.");
}

interface SignedHeaders {
  id: string;
  timestamp: string;
  signatures: string[];
}

function readHeaders(headers: WebhookHeaders, options: VerifyOptions): SignedHeaders {
  const found = webhookHeaders(headers);
  const id = required(found, "webhook-id");
  const timestamp = required(found, "webhook-timestamp");
  if (!/^\d{1,12}$/.test(timestamp)) throw new SignatureError("webhook-timestamp is not a number of unix seconds.");
  const signatures = required(found, "webhook-signature").split(/\s+/);
  if (signatures.length > MOST_SIGNATURES) {
    throw new SignatureError(`webhook-signature has more than ${MOST_SIGNATURES} signatures.`);
  }
  const { now = Date.now() / 1000, toleranceSeconds = TOLERANCE_SECONDS } = options;
  if (!(Math.abs(now - Number(timestamp)) <= toleranceSeconds)) {
    throw new SignatureError(`webhook-timestamp is more than ${toleranceSeconds} seconds from now.`);
  }
  return { id, timestamp, signatures };
}

function webhookHeaders(headers: WebhookHeaders): Map<string, string> {
  const found = new Map<string, string>();
  const pairs = Symbol.iterator in headers ? [...headers] : Object.entries(headers);
  for (const [spelt, value] of pairs) {
    const name = spelt.toLowerCase();
    if (!name.startsWith("webhook-") || value === undefined) continue;
    // Of two, other code might use the one that is not verified.
    if (found.has(name) || typeof value !== "string") throw new SignatureError(`The header ${name} occurs twice.`);
    found.set(name, value.trim());
  }
  return found;
}

function required(headers: Map<string, string>, name: string): string {
  const value = headers.get(name);
  if (!value) throw new SignatureError(`The header ${name} is missing.`);
  return value;
}

async function verifiersOf(keys: WebhookKeys): Promise<Verifier[]> {
  if (isJwks(keys)) {
    const usable = await Promise.all(keys.keys.map((key) => jwkVerifier(key).catch(() => undefined)));
    return present(usable.filter((verifier) => verifier !== undefined));
  }
  const texts = typeof keys === "string" ? [keys] : keys;
  return present(await Promise.all(texts.map((key) => (key.startsWith(PUBLIC_PREFIX) ? publicKey(key) : secret(key)))));
}

function isJwks(keys: WebhookKeys): keys is { keys: readonly object[] } {
  return typeof keys === "object" && !Array.isArray(keys);
}

function present(verifiers: Verifier[]): Verifier[] {
  if (verifiers.length === 0) throw new TypeError("no key to verify the webhook with");
  return verifiers;
}

async function secret(text: string): Promise<Verifier> {
  const bytes = text.startsWith(SECRET_PREFIX)
    ? decoded(text.slice(SECRET_PREFIX.length))
    : new TextEncoder().encode(text);
  if (!bytes?.length) throw new TypeError(`a secret is text, or ${SECRET_PREFIX} and padded base64, and is not empty`);
  const key = await crypto.subtle.importKey("raw", bytes, { name: "HMAC", hash: "SHA-256" }, false, ["verify"]);
  // WebCrypto compares in constant time.
  return async (version, signature, content) =>
    version === "v1" && (await crypto.subtle.verify("HMAC", key, signature, content));
}

async function publicKey(text: string): Promise<Verifier> {
  const bytes = decoded(text.slice(PUBLIC_PREFIX.length));
  if (bytes?.length !== 32) throw new TypeError(`a public key is ${PUBLIC_PREFIX} and the base64 of 32 bytes`);
  return ed25519Verifier(await crypto.subtle.importKey("raw", bytes, "Ed25519", false, ["verify"]));
}

/** Returns the verifier of a key of a JWKS. Fails for keys of other kinds, which RFC 7517 lets receivers ignore. */
async function jwkVerifier(jwk: JsonWebKey): Promise<Verifier> {
  const { kty, crv, x, use = "sig", alg = "EdDSA" } = jwk;
  if (kty !== "OKP" || crv !== "Ed25519" || use !== "sig" || !["EdDSA", "Ed25519"].includes(alg) || x === undefined) {
    throw new TypeError("a key of another kind");
  }
  return ed25519Verifier(await crypto.subtle.importKey("jwk", { kty, crv, x }, "Ed25519", false, ["verify"]));
}

function ed25519Verifier(key: CryptoKey): Verifier {
  return async (version, signature, content) =>
    version === "v1a" && (await crypto.subtle.verify("Ed25519", key, signature, content));
}

function event<Body>(signed: SignedHeaders, raw: Uint8Array): WebhookEvent<Body> {
  let body: unknown;
  try {
    body = parseJson(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(raw));
  } catch {
    body = undefined;
  }
  if (typeof body !== "object" || body === null || Array.isArray(body)) {
    throw new SignatureError("The webhook is signed, but its body is not a JSON object.");
  }
  const type = "type" in body ? String(body.type) : "";
  return { id: signed.id, type, sentAt: new Date(Number(signed.timestamp) * 1000), body: body as Body };
}

/** Returns the bytes of padded base64, or undefined if it is not that. */
function decoded(base64: string): Uint8Array<ArrayBuffer> | undefined {
  if (base64.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(base64)) return undefined;
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}

function concatenated(first: Uint8Array, second: Uint8Array): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(first.length + second.length);
  whole.set(first);
  whole.set(second, first.length);
  return whole;
}
