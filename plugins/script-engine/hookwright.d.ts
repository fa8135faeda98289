// What a Hookwright script finds and returns. For editors: put
//   /// <reference path="./hookwright.d.ts" />
// at the top of the script, or this file beside it. The server never reads it.

type Json = null | boolean | number | string | Json[] | { [name: string]: Json };
/** `{name: value}`, `{name: [value, value]}` or `[[name, value], ...]`; undefined and null values are left out. */
type Pairs = { [name: string]: Value | Value[] | undefined | null } | [string, Value][];
type Value = string | number | boolean;
/** Text and bytes are sent as they are, anything else as JSON. */
type Body = string | Uint8Array | ArrayBuffer | Json | object;

/** The delivery being built or answered. */
interface Delivery {
  /** `dlv_...`; the same over all attempts. */
  id: string;
  webhookId: string;
  webhookName: string;
  session: string | null;
  environment: string | null;
  /** What the caller of `invoke` gave besides parameters; `{}` for a delivery of events. */
  context: { [name: string]: any };
  nowMs: number;
}

/** Something that happened. */
interface HookwrightEvent {
  /** `evt_...` */
  id: string;
  trigger: string;
  /** Empty when the producer gave none. */
  source: string;
  /** ISO 8601, UTC. */
  time: string;
  timeMs: number;
  session: string | null;
  environment: string | null;
  attributes: { [name: string]: string };
  data: any;
}

/** What to send. What is left out comes from the webhook's own `request`; headers are merged. */
interface RequestToSend {
  method?: string;
  pathAndQuery?: string;
  headers?: Pairs;
  /** `application/json` when `body` is neither text nor bytes. */
  contentType?: string;
  body?: Body;
  /** Session parameters to set from the answer: `{stock: "$.items[0].stock"}`. */
  bindings?: { [parameter: string]: string } | { parameter: string; path: string }[];
}

/** A 2xx answer. */
interface Answer {
  status: number;
  /** By name in lower case; repeated ones joined with `, `. */
  headers: { [name: string]: string };
  body: string;
  readonly bytes: Uint8Array;
  /** Throws `Rejected` where it is no JSON. */
  json(): any;
}

interface Outcome {
  /** Session parameters to set; null removes one, undefined leaves it. */
  parameters?: { [name: string]: Json | undefined };
  /** What `invoke` returns to its caller. */
  output?: Json;
}

/** One inbound call. */
interface Call {
  /** `cal_...` */
  id: string;
  receiver: string;
  caller: string;
  session: string | null;
  environment: string | null;
  method: string;
  /** Behind the code. */
  path: string;
  /** A name that occurs more than once has an array. */
  query: { [name: string]: string | string[] };
  parameters: { [name: string]: any };
  /** By name in lower case; repeated ones joined with `, `. */
  headers: { [name: string]: string };
  body: string;
  readonly bytes: Uint8Array;
  /** Throws `Rejected` where it is no JSON: the call is answered 400. */
  json(): any;
  verified: boolean;
  remoteAddress: string;
  nowMs: number;
}

/** A text alone is `{message: text}`. */
type Reply =
  | string
  | void
  | null
  | { /** 200 to 599; 200 if left out. */ status?: number; headers?: Pairs; body?: Body }
  | { status?: number; headers?: Pairs; message?: string };

interface Emission {
  trigger: string;
  data?: Json;
  /** `receiver:<name>` if left out. */
  source?: string | null;
  /** The time of the call if left out. */
  timeMs?: number | null;
  session?: string | null;
  environment?: string | null;
  attributes?: Pairs;
}

interface Invoked {
  delivered: boolean;
  httpStatus: number | null;
  /** `webhook.error...` when it failed. */
  errorEvent: string | null;
  parameters: { [name: string]: any };
  output: any;
}

declare const hookwright: {
  /** The plugin's configuration merged with the webhook's or receiver's. */
  readonly config: any;
  /** The session's parameters as they were when the call began. */
  readonly parameters: {
    /** undefined when the session does not hold it; names are compared without case. */
    get(name: string): any;
    all(): { [name: string]: any };
  };
  /** Only in `receive`. null or undefined removes it; `session` is the call's own if left out. */
  setParameter(name: string, value: Json | undefined, session?: string): void;
  /** Only in `receive`. Returns the event's id. */
  emit(event: Emission): string;
  /** Only in `receive`. Sends now and waits for the answer. */
  invoke(webhook: string, options?: { parameters?: { [name: string]: Json }; data?: Json; context?: { [name: string]: Json } }): Invoked;
  hmacSha256(secretName: string, data: string | Uint8Array): Uint8Array;
  /** Small JSON values of this plugin's own. */
  readonly state: {
    get(key: string): any;
    set(key: string, value: Json): void;
    delete(key: string): void;
  };
};

/** Thrown: this input will never work. The delivery is refused, the call answered 400 with the message. Anything thrown but this and
 * `RetryLater` is the script's mistake: the delivery is tried again, the call answered 500 without the message. */
declare class Rejected extends Error {}
/** Thrown: it may work later. The delivery is retried, the call answered 503. */
declare class RetryLater extends Error {}

declare const console: Record<"log" | "info" | "warn" | "error" | "debug", (...values: unknown[]) => void>;
declare class TextEncoder {
  readonly encoding: "utf-8";
  encode(text?: string): Uint8Array;
}
declare class TextDecoder {
  constructor(label?: "utf-8" | "utf8");
  readonly encoding: "utf-8";
  decode(bytes?: Uint8Array | ArrayBuffer): string;
}
