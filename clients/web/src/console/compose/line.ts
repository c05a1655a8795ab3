import { signal } from "@preact/signals";
import { PROTOCOL } from "agent-world-client";
import { tape, type Taped } from "../frames/tape.js";
import { server } from "../session/connection.js";
import { keptToken } from "../session/identity.js";

export type LineState = "closed" | "connecting" | "open";

/** How long a connection may take to be greeted, and a world to be selected, in milliseconds. */
const PATIENCE = 10_000;

/**
 * A connection for frames made by hand: of its own, so that what is tried there, another world or another
 * subscription, does not disturb the chat. It is the same user.
 */
class ComposerLine {
  readonly state = signal<LineState>("closed");
  /** The world that is selected on it, as far as the answers tell. */
  readonly world = signal<string | undefined>();
  /** Why it was closed from outside. */
  readonly cause = signal<string | undefined>();
  #socket: WebSocket | undefined;
  #connection = 0;
  #last: Taped | undefined;
  #opening: Promise<WebSocket> | undefined;
  #waiting = new Set<(taped: Taped) => void>();

  /**
   * Sends a text as it is; a line that is closed is opened first, and told the world if there is one. Gives what was
   * sent; its answer is on the tape.
   */
  async send(text: string, world: { templateName: string; worldName: string } | undefined): Promise<Taped> {
    const socket = await this.#open(world);
    return this.#put(socket, text);
  }

  close(): void {
    if (this.#socket === undefined) return;
    this.#socket.close(1000);
    tape.end(this.#connection);
    this.#lost(undefined);
  }

  #open(world: { templateName: string; worldName: string } | undefined): Promise<WebSocket> {
    if (this.#socket?.readyState === WebSocket.OPEN) return Promise.resolve(this.#socket);
    this.#opening ??= this.#connect(world).finally(() => (this.#opening = undefined));
    return this.#opening;
  }

  async #connect(world: { templateName: string; worldName: string } | undefined): Promise<WebSocket> {
    const token = keptToken();
    const address = `${server.replace(/^http/, "ws")}/ws`;
    this.state.value = "connecting";
    this.cause.value = undefined;
    const socket = new WebSocket(address, token === undefined ? [PROTOCOL] : [PROTOCOL, `bearer.${token}`]);
    this.#socket = socket;
    const connection = tape.connect();
    this.#connection = connection;
    socket.addEventListener("message", ({ data }) => {
      const taped = tape.add({ at: new Date().toISOString(), direction: "server", text: String(data) }, "composer", connection);
      const { payload } = taped.frame as { payload?: { worldName?: string } };
      if (taped.type === "world_selected") this.world.value = payload?.worldName;
      // What has no id that could be read is answered all the same, in its turn.
      const last = this.#last;
      if (taped.type === "error" && taped.request === undefined && last !== undefined && last.answer === undefined) {
        taped.request = last;
        last.answer = taped;
      }
      for (const hear of [...this.#waiting]) hear(taped);
    });
    socket.addEventListener("close", ({ code, reason }) => {
      if (this.#socket !== socket) return;
      tape.end(connection, code);
      this.#lost(`closed with ${code}${reason === "" ? "" : `: ${reason}`}`);
    });
    await this.#until((taped) => taped.type === "status/connected", socket);
    this.state.value = "open";
    if (world !== undefined) {
      const select = this.#put(socket, JSON.stringify({ id: "composer-select", type: "world_select", payload: world }));
      await this.#until((taped) => taped.request === select, socket);
    }
    return socket;
  }

  #put(socket: WebSocket, text: string): Taped {
    const taped = tape.add({ at: new Date().toISOString(), direction: "client", text }, "composer", this.#connection);
    this.#last = taped;
    socket.send(text);
    return taped;
  }

  #until(fits: (taped: Taped) => boolean, socket: WebSocket): Promise<void> {
    return new Promise((resolve, reject) => {
      const end = (act: () => void): void => {
        clearTimeout(timer);
        this.#waiting.delete(hear);
        socket.removeEventListener("close", lost);
        act();
      };
      const hear = (taped: Taped): void => void (fits(taped) && end(resolve));
      const lost = (): void => end(() => reject(new Error("the server closed the connection")));
      const timer = setTimeout(() => end(() => (socket.close(), reject(new Error("the server did not answer in time")))), PATIENCE);
      this.#waiting.add(hear);
      socket.addEventListener("close", lost);
    });
  }

  #lost(cause: string | undefined): void {
    this.#socket = undefined;
    this.state.value = "closed";
    this.world.value = undefined;
    this.cause.value = cause;
  }
}

export const line = new ComposerLine();
