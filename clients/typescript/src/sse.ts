/** Server-sent events: https://html.spec.whatwg.org/multipage/server-sent-events.html */

/** Block of an event stream. */
export interface ServerSentEvent {
  event: string;
  data: string;
  /** Last id of the stream so far, or empty. */
  id: string;
  /** Requested pause before the next connection, in milliseconds. */
  retry: number | undefined;
}

/** Parser of an event stream that may be cut anywhere. Yields blocks without data too, because they may have an id. */
export class EventStreamParser {
  #rest = "";
  #id = "";
  #pendingId: string | undefined;
  #event = "";
  #data: string[] = [];
  #retry: number | undefined;
  #endedWithReturn = false;

  /** Yields the blocks that the next piece of text completes. */
  *push(text: string): Generator<ServerSentEvent> {
    // The line feed of a CRLF that was cut in its middle.
    if (this.#endedWithReturn && text.startsWith("\n")) text = text.slice(1);
    if (text === "") return;
    this.#endedWithReturn = text.endsWith("\r");
    const lines = (this.#rest + text).split(/\r\n|\n|\r/);
    this.#rest = lines.pop() ?? "";
    for (const line of lines) {
      if (line !== "") this.#read(line);
      else yield this.#block();
    }
  }

  #read(line: string): void {
    const [, field = "", value = ""] = /^([^:]*)(?:: ?(.*))?$/s.exec(line) ?? [];
    if (field === "data") this.#data.push(value);
    else if (field === "event") this.#event = value;
    else if (field === "id" && !value.includes("\0")) this.#pendingId = value;
    else if (field === "retry" && /^\d+$/.test(value)) this.#retry = Number(value);
  }

  #block(): ServerSentEvent {
    this.#id = this.#pendingId ?? this.#id;
    const block = { event: this.#event || "message", data: this.#data.join("\n"), id: this.#id, retry: this.#retry };
    this.#event = "";
    this.#data = [];
    this.#retry = undefined;
    return block;
  }
}
