/** One server-sent event. */
export interface StreamEvent {
  id: string | undefined;
  data: string;
}

/** The longest event that is read, in characters; a frame has at most a few hundred thousand. */
const LONGEST = 4_000_000;

/** Reads server-sent events (WHATWG HTML, section 9.2) from a body. Leaving the loop cancels the body. */
export async function* readEvents(body: ReadableStream<Uint8Array>): AsyncGenerator<StreamEvent, void, undefined> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  let id: string | undefined;
  let data: string[] = [];
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      rest += decoder.decode(value, { stream: true });
      // A carriage return at the very end may be half a line break.
      const lines = rest.split(/\r\n|\n|\r(?!$)/);
      rest = lines.pop() ?? "";
      for (const line of lines) {
        if (line === "") {
          if (data.length > 0) yield { id, data: data.join("\n") };
          data = [];
          id = undefined;
        } else if (line.startsWith("data:")) {
          data.push(line.slice(line[5] === " " ? 6 : 5));
        } else if (line.startsWith("id:")) {
          id = line.slice(line[3] === " " ? 4 : 3);
        }
      }
      if (rest.length > LONGEST) throw new RangeError("a server-sent event is too long");
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}
