import { type Client, connect } from "agent-world-client";
import { WebSocket } from "ws";

export const connecting: Promise<Client> = connect({ url: "http://localhost:3001", WebSocket });

// @ts-expect-error this is no WebSocket
void connect({ url: "http://localhost:3001", WebSocket: Date });
