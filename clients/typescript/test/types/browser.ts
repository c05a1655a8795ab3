import { type Client, connect } from "agent-world-client";

export const connecting: Promise<Client> = connect({ url: "http://localhost:3001", WebSocket });
