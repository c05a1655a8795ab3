/** As much of the standard `WebSocket` as this client uses. */
export interface WebSocketLike {
  send(text: string): void;
  close(code?: number, reason?: string): void;
  /** What `ws` has beside the standard: an end without a closing handshake. */
  terminate?(): void;
  /** The events of the browser, of Node and of `ws` differ in type. */
  addEventListener(type: "open" | "message" | "close" | "error", listener: (event: any) => void): void;
}

/** The standard `WebSocket`, or one that behaves like it: that of the package `ws` does. */
export interface WebSocketConstructor {
  new (url: string, protocols: string[]): WebSocketLike;
}

/**
 * The WebSocket address of a server: `http://localhost:3001` is `ws://localhost:3001/ws`, and behind a proxy
 * `https://example.org/agents` is `wss://example.org/agents/ws`.
 */
export function webSocketUrl(url: string): string {
  const parsed = new URL(url);
  const path = parsed.pathname.replace(/\/+$/, "");
  if (path === "" || (/^http/.test(parsed.protocol) && !path.endsWith("/ws"))) parsed.pathname = `${path}/ws`;
  parsed.protocol = parsed.protocol.replace(/^http/, "ws");
  return parsed.href;
}

/** The HTTP address of the server behind a WebSocket address. */
export function httpUrl(url: string): string {
  const parsed = new URL(url);
  parsed.protocol = parsed.protocol.replace(/^ws/, "http");
  parsed.pathname = parsed.pathname.replace(/\/ws$/, "/");
  return parsed.href;
}
