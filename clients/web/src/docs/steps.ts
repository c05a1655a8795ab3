// What happens in the first conversation, frame by frame. The frames shown are the examples of /asyncapi.json; when it
// is run, they are those that came.

import { type AsyncApi, asyncapi } from "./documents.js";

export interface Frame {
  id: string;
  type: string;
  replyTo?: string;
  payload: Record<string, unknown>;
}

export interface Step {
  from: "client" | "server";
  /** The message whose page explains it. */
  type: string;
  title: string;
  text: string;
  /** Whether a frame is the one of this step. */
  is: (frame: Frame) => boolean;
  /** Several frames are one step. */
  many?: boolean;
}

const status = (name: string) => (frame: Frame) => frame.type === "status" && frame.payload["type"] === name;
const response = (is: (payload: Record<string, unknown>) => boolean) => (frame: Frame) => frame.type === "chat_response" && is(frame.payload);
const event = (type: string, is: (event: { senderType: string; payload: Record<string, unknown> }) => boolean) => (frame: Frame) => {
  const happened = frame.payload["event"] as { type: string; senderType: string; payload: Record<string, unknown> } | undefined;
  return frame.type === "event_stream" && happened?.type === type && is(happened);
};

export const STEPS: readonly Step[] = [
  {
    from: "server",
    type: "status",
    title: "connected",
    text: "The first frame of every connection: who you are, and a token with which you are the same user again, on any device.",
    is: status("connected"),
  },
  {
    from: "client",
    type: "world_select",
    title: "world_select",
    text: "Choose a template and a name. Nothing has to be waited for: frames are handled one after another.",
    is: ({ type }) => type === "world_select",
  },
  {
    from: "server",
    type: "world_selected",
    title: "world_selected",
    text: "A clone of the template is yours, with its agents. From `cursor` on you are told everything; after a reconnect, resume there.",
    is: ({ type }) => type === "world_selected",
  },
  {
    from: "client",
    type: "chat_send",
    title: "chat_send",
    text: "Say something. Without a mention, every active agent answers; `@name` asks one.",
    is: ({ type }) => type === "chat_send",
  },
  {
    from: "server",
    type: "status",
    title: "message_accepted",
    text: "The message is on disk. `answering` names the agents that it woke.",
    is: status("message_accepted"),
  },
  {
    from: "server",
    type: "event_stream",
    title: "the message",
    text: "Everyone in the world is told of it, you too: your other tabs show it by this.",
    is: event("message", ({ senderType }) => senderType === "human"),
  },
  {
    from: "server",
    type: "chat_response",
    title: "a reply begins",
    text: "Empty and not complete. One reply keeps one `messageId`; replies of several agents come side by side.",
    is: response(({ content, complete }) => content === "" && complete === false),
    many: true,
  },
  {
    from: "server",
    type: "chat_response",
    title: "it grows",
    text: "A piece of the text, from `offset` on, counted in code points. A piece with `offset` 0 replaces all text so far.",
    is: response(({ content, complete }) => content !== "" && complete === false),
    many: true,
  },
  {
    from: "server",
    type: "chat_response",
    title: "it ends",
    text: "The whole text again, and why it ended. There is exactly one end for each beginning, whatever happens.",
    is: response(({ complete }) => complete === true),
    many: true,
  },
  {
    from: "server",
    type: "event_stream",
    title: "the reply is posted",
    text: "What the world hears of it. Other agents remember it, and one that it mentions answers next.",
    is: event("message", ({ senderType }) => senderType === "agent"),
    many: true,
  },
  {
    from: "server",
    type: "event_stream",
    title: "settled",
    text: "Nobody has anything left to say to your message: the question is finished.",
    is: event("world", ({ payload }) => payload["action"] === "settled"),
  },
];

/** An example for each step. */
export async function examples(): Promise<(Frame | undefined)[]> {
  const { components }: AsyncApi = await asyncapi();
  const frames = Object.values(components.messages).flatMap(({ examples = [] }) => examples.map(({ payload }) => payload as Frame));
  return STEPS.map(({ is }) => frames.find((frame) => frame.payload !== undefined && is(frame)));
}
