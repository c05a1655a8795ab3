import type { ErrorCode, ErrorDetails, ErrorInfo, Problem } from "./generated/protocol.js";

/**
 * What goes wrong on this side of the wire:
 *
 * - `CLOSED`: the connection is closed for good, or the world was left for another one.
 * - `TIMEOUT`: no answer in time. The request may have been done all the same.
 * - `NETWORK`: the server could not be reached.
 * - `TOO_MANY_REQUESTS`: more requests wait for an answer than `maxPending` allows.
 * - `NOT_SUBSCRIBED`: the events that are needed are not subscribed to.
 * - `UNEXPECTED_REPLY`: the server answered with something that this client does not understand.
 */
export type ClientErrorCode =
  | "CLOSED"
  | "TIMEOUT"
  | "NETWORK"
  | "TOO_MANY_REQUESTS"
  | "NOT_SUBSCRIBED"
  | "UNEXPECTED_REPLY";

/** What is known about an error beside its code and text. */
export interface ErrorFacts {
  retryable?: boolean;
  retryAfterMs?: number | undefined;
  details?: ErrorDetails | undefined;
  status?: number;
  closeCode?: number;
  cause?: unknown;
}

/** Every failure that this client reports, from the server or its own. */
export class AgentWorldError extends Error {
  override readonly name = "AgentWorldError";
  /** The server's code (`ERROR_CODES` says what each means), or one of this client's own. */
  readonly code: ErrorCode | ClientErrorCode;
  /** Whether the same request may succeed later. */
  readonly retryable: boolean;
  /** How long to wait before that, in milliseconds, when the server says so. */
  readonly retryAfterMs: number | undefined;
  /** What is wrong, place by place, and more. */
  readonly details: ErrorDetails | undefined;
  /** The HTTP status, of an HTTP answer. */
  readonly status: number | undefined;
  /** The WebSocket close code, when a close is the reason; `CLOSE_CODES` explains the server's. */
  readonly closeCode: number | undefined;

  constructor(code: ErrorCode | ClientErrorCode, message: string, facts: ErrorFacts = {}) {
    super(message, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.code = code;
    this.retryable = facts.retryable ?? false;
    this.retryAfterMs = facts.retryAfterMs;
    this.details = facts.details;
    this.status = facts.status;
    this.closeCode = facts.closeCode;
  }

  /** Of the payload of an `error` frame, or of the `error` of a reply. */
  static of(info: ErrorInfo): AgentWorldError {
    return new AgentWorldError(info.code, info.message, info);
  }

  /** Of an HTTP answer. */
  static ofProblem(problem: Problem): AgentWorldError {
    // The rest of a problem document is what an error frame has in its `details`.
    const { type: _type, title: _title, status, detail, code, retryable, retryAfterMs, ...details } = problem;
    return new AgentWorldError(code, detail, { status, retryable, retryAfterMs, details });
  }
}
