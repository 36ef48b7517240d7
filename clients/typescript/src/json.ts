/**
 * JSON without silent changes of numbers.
 *
 * JavaScript's `JSON` rounds integers beyond 2^53 and writes NaN as null. Here such integers are `bigint`s in both
 * directions, and numbers that JSON cannot carry are refused. Fractions are rounded to the nearest double, as in
 * JavaScript itself; to keep their digits, give the client a `parse` of your own.
 */

const NUMBER = /-?\d+(\.\d+)?([eE][+-]?\d+)?/y;

/** Returns the value of a JSON text, with integers beyond ±(2^53 − 1) as `bigint`. */
export function parseJson(text: string): unknown {
  const value: unknown = JSON.parse(text);
  if (!/\d{16}/.test(text)) return value;
  const mark = randomMark();
  const marked = markUnsafeIntegers(text, mark);
  if (marked === text) return value;
  return JSON.parse(marked, (_, member: unknown) =>
    typeof member === "string" && member.startsWith(mark) ? BigInt(member.slice(mark.length)) : member,
  );
}

/**
 * Returns the JSON text of a value. A `bigint` is written with all its digits, and −0 with its sign.
 *
 * @throws {TypeError} The value contains a number that JSON cannot carry, or is none that JSON knows.
 */
export function stringifyJson(value: unknown): string {
  const mark = randomMark();
  let marks = 0;
  const text: string | undefined = JSON.stringify(value, (name, member: unknown) => {
    if (typeof member === "number" && !Number.isFinite(member)) {
      throw new TypeError(`${name || "the value"} is ${member}, which JSON cannot carry; send a string or null`);
    }
    if (typeof member !== "bigint" && !Object.is(member, -0)) return member;
    marks += 1;
    return `${mark}${typeof member === "bigint" ? member : "-0"}`;
  });
  if (text === undefined) throw new TypeError(`a ${typeof value} cannot be sent as JSON`);
  return marks ? text.replace(new RegExp(`"${mark}(-?\\d+)"`, "g"), "$1") : text;
}

/** Returns the text, which must be valid JSON, with each unsafe integer as a string that begins with `mark`. */
function markUnsafeIntegers(text: string, mark: string): string {
  const pieces: string[] = [];
  let copied = 0;
  let at = 0;
  while (at < text.length) {
    if (text[at] === '"') {
      at = endOfString(text, at);
      continue;
    }
    NUMBER.lastIndex = at;
    const [number, fraction, exponent] = NUMBER.exec(text) ?? [];
    if (number === undefined) {
      at += 1;
      continue;
    }
    if (fraction === undefined && exponent === undefined && !Number.isSafeInteger(Number(number))) {
      pieces.push(text.slice(copied, at), `"${mark}${number}"`);
      copied = at + number.length;
    }
    at += number.length;
  }
  return pieces.join("") + text.slice(copied);
}

function endOfString(text: string, start: number): number {
  for (let at = start + 1; ; at += 1) {
    if (text[at] === "\\") at += 1;
    else if (text[at] === '"') return at + 1;
  }
}

/** Returns a prefix that no string of a document can have been made to contain. */
function randomMark(): string {
  return `${randomId()}:`;
}

/** Returns a random UUID. `crypto.randomUUID` is missing from pages without TLS. */
export function randomId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}
