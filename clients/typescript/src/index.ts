/**
 * The client of Agent World: {@link connect}, select a world, and talk to its agents.
 *
 * @packageDocumentation
 */
export { type ReconnectOptions } from "./backoff.js";
export { Chat } from "./chat.js";
export { Client, type ClientEvents, type ClientOptions, connect } from "./client.js";
export { type ConnectionOptions, type ConnectionState, type WireFrame } from "./connection.js";
export { Emitter } from "./emitter.js";
export { AgentWorldError, type ClientErrorCode, type ErrorFacts } from "./error.js";
export { type UnknownMessage } from "./frame.js";
export * from "./generated/protocol.js";
export { Reply } from "./reply.js";
export { type RequestOptions } from "./requests.js";
export { type WebSocketConstructor, type WebSocketLike } from "./socket.js";
export { type ChatOptions, type Gap, SelectedWorld, type WorldEvents } from "./world.js";
