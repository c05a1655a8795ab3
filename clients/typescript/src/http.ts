/**
 * The HTTP interface: one function for each route, each with the server in front and the inputs in one object.
 *
 * @packageDocumentation
 */
export { type CallOptions, FrameStream, type Server } from "./call.js";
export * from "./generated/routes.js";
