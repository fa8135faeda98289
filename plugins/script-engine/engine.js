// The script engine's own JavaScript: the value of this file is a function that is given what may be asked of the host (`src/host.rs`) and
// gives what the engine exports. It is evaluated and called once, when the engine is built (`build`). A fresh instance gets the author's
// script from the host, evaluates it and calls the function asked for.
// What an author sees is described in README.md and hookwright.d.ts; keep the three in step.

(function (given) {
"use strict";
const { host, log, config, parameters, parameterWrites, secrets, events, webhooks, state } = given;

// Taken now, so that a script that replaces a built-in breaks nothing but itself.
const { parse, stringify } = JSON;
const { isArray } = Array;
const { entries, freeze, defineProperty } = Object;
const { isView } = ArrayBuffer;
const evaluate = globalThis.eval;

/// `parse_script` puts `"use strict";` before the first line; columns of that line are that much too large.
const PREFIX = 13;

// --- What this instance knows -----------------------------------------------------------------------------------

/// The functions of the evaluated script.
let script;
/// The session of the call, for `setParameter` without one.
let session;
/// The parsed configuration, once asked for.
let settings;

// --- Errors -----------------------------------------------------------------------------------------------------

class Rejected extends Error {}
class RetryLater extends Error {}
defineProperty(Rejected.prototype, "name", { value: "Rejected" });
defineProperty(RetryLater.prototype, "name", { value: "RetryLater" });

/// What the engine itself finds wrong with a script's result; has no line, for the script has returned by then.
class Misuse extends Error {}

const FRAME = /^\s*at (.*) \(<input>:([1-9]\d*):(\d+)\)$/;

/// The author's column, in characters. QuickJS counts bytes, from 1, but in a frame on the first line from 0. Only errors get here,
/// so the source may cost another call.
function column(line, byte, inFrame) {
  const first = Number(line) === 1;
  const bytes = host.encode(host.source().split("\n")[line - 1] ?? "");
  const before = Array.from(host.decode(bytes.subarray(0, first && inFrame ? byte : byte - 1))).length;
  return Math.max(1, before + 1 - (first ? PREFIX : 0));
}

/// The script's own frames, innermost first: `[function, line, column]`.
function frames(error) {
  const found = [];
  for (const at of String(error.stack ?? "").split("\n")) {
    const m = FRAME.exec(at);
    if (m && found.length < 20) found.push([m[1], m[2], column(m[2], m[3], true)]);
  }
  return found;
}

/// `line 3, column 7: TypeError: ...` for an error, the text itself for anything else that was thrown.
function explain(thrown) {
  if (thrown === null || thrown === undefined) return `the script threw ${thrown} (QuickJS does so when memory runs out)`;
  if (!(thrown instanceof Error)) return typeof thrown === "string" ? thrown : show(thrown);
  if (thrown instanceof Misuse || thrown instanceof Rejected || thrown instanceof RetryLater) return String(thrown.message);
  const text = `${thrown.name}: ${thrown.message}`;
  const [at] = frames(thrown);
  if (at) return `line ${at[1]}, column ${at[2]}: ${text}`;
  // A syntax error has no frame in the script, only the place where reading it stopped.
  const place = script ? null : /^\s*at <input>:([1-9]\d*):(\d+)$/m.exec(thrown.stack);
  return place ? `line ${place[1]}, column ${column(place[1], place[2], false)}: ${text}` : text;
}

/// Whatever was thrown, as the `error` of the contract; `threw` is what the author did not throw on purpose: the script's mistake, and no
/// word about the input. Never throws.
function failure(thrown) {
  try {
    const trail = thrown instanceof Error && !(thrown instanceof Misuse) ? frames(thrown) : [];
    if (trail.length > 1) log.write("error", trail.map(([f, l, c]) => `at ${f} (line ${l}, column ${c})`).join("\n"));
    const tag = thrown instanceof RetryLater ? "retry-later" : thrown instanceof Rejected ? "rejected" : "threw";
    return { tag, val: explain(thrown).toWellFormed() };
  } catch {
    return { tag: "threw", val: "something that cannot be shown" };
  }
}

/// Calls an import of type `result<_, string>`, so that a refusal is an Error with the script's line.
function granted(what, act) {
  try {
    return act();
  } catch (refusal) {
    throw refusal instanceof Error ? refusal : new Error(`${what}: ${refusal}`);
  }
}

// --- Values in and out --------------------------------------------------------------------------------------------

const text = (value) => String(value).toWellFormed();
const json = (value) => (stringify(value) ?? "null").toWellFormed();
const optional = (value) => (value === undefined || value === null ? null : text(value));

/// An object without a prototype: a name such as `constructor` is absent unless somebody sent it.
function named(pairs, repeated) {
  const object = { __proto__: null };
  for (const [name, value] of pairs) {
    object[name] = name in object && repeated ? repeated(object[name], value) : value;
  }
  return object;
}

function parsed(pairs) {
  const object = { __proto__: null };
  for (const [name, value] of pairs) object[name] = parse(value);
  return object;
}

const parsedContext = (context) => (context === "{}" ? {} : parse(context));
const joined = (before, value) => `${before}, ${value}`;
const gathered = (before, value) => (isArray(before) ? [...before, value] : [before, value]);

/// `{name: value}`, `{name: [value, value]}` or `[[name, value]]` as pairs.
function pairs(what, given) {
  if (given === undefined || given === null) return [];
  if (typeof given !== "object") throw new Misuse(`${what} must be an object or a list of [name, value]`);
  const list = [];
  for (const pair of isArray(given) ? given : entries(given)) {
    if (!isArray(pair) || pair.length !== 2) throw new Misuse(`${what} must be an object or a list of [name, value]`);
    for (const value of isArray(pair[1]) ? pair[1] : [pair[1]]) {
      if (value !== undefined && value !== null) list.push([text(pair[0]), text(value)]);
    }
  }
  return list;
}

/// The bytes of a body and the media type that goes with them when the script names none.
function body(given, mediaOfText) {
  if (given === undefined) return [null, null];
  if (typeof given === "string") return [host.encode(given.toWellFormed()), mediaOfText];
  if (given instanceof Uint8Array) return [given, null];
  if (isView(given)) return [new Uint8Array(given.buffer, given.byteOffset, given.byteLength), null];
  if (given instanceof ArrayBuffer) return [new Uint8Array(given), null];
  return [host.encode(json(given)), "application/json"];
}

/// A result must be an object with known fields: a misspelt one would be ignored without a word.
function fields(what, given, known) {
  if (typeof given !== "object" || isArray(given)) throw new Misuse(`${what} must return ${known.must}, not ${show(given).slice(0, 80)}`);
  if (typeof given.then === "function") {
    throw new Misuse(`${what} returned a Promise: a script runs to its end in one go, so its functions cannot be async`);
  }
  for (const name in given) {
    if (!known.names.includes(name)) throw new Misuse(`${what} returned an unknown field \`${name}\`; known are ${known.names.join(", ")}`);
  }
  return given;
}

/// `given` parsed. That it cannot be is certainly the fault of whoever sent it, and not the script's.
function sent(what, given) {
  try {
    return parse(given);
  } catch (error) {
    throw new Rejected(error instanceof SyntaxError ? `${what} is not JSON` : `${what} is JSON that cannot be read: it is nested too deeply`);
  }
}

/// Gives `target` the lazily decoded `body`, the raw `bytes` and `json()`; `what` names it in an error.
function readable(target, bytes, what) {
  let decoded;
  const get = () => (decoded ??= host.decode(bytes));
  defineProperty(target, "body", { get, enumerable: true });
  defineProperty(target, "bytes", { value: bytes });
  defineProperty(target, "json", { value: () => sent(what, get()) });
  return target;
}

function show(value) {
  if (typeof value === "string") return value;
  if (value instanceof Error) return explain(value);
  try {
    return (typeof value === "function" ? undefined : stringify(value)) ?? String(value);
  } catch {
    return String(value);
  }
}

// --- What a script finds besides the language ---------------------------------------------------------------------

for (const name of ["performance", "queueMicrotask"]) delete globalThis[name];

function global(name, value) {
  defineProperty(globalThis, name, { value, writable: true, configurable: true });
}

const line = (level) => (...values) => log.write(level, values.map(show).join(" ").toWellFormed());
global("console", { log: line("info"), info: line("info"), warn: line("warn"), error: line("error"), debug: line("debug") });
global("Rejected", Rejected);
global("RetryLater", RetryLater);

global("TextEncoder", class TextEncoder {
  get encoding() { return "utf-8"; }
  encode(given = "") { return host.encode(text(given)); }
});
global("TextDecoder", class TextDecoder {
  constructor(label = "utf-8") {
    if (!/^utf-?8$/i.test(label)) throw new RangeError(`only utf-8 can be decoded, not ${label}`);
  }
  get encoding() { return "utf-8"; }
  decode(given) {
    if (given === undefined) return "";
    const read = host.decode(body(given)[0]);
    return read.charCodeAt(0) === 0xfeff ? read.slice(1) : read;
  }
});

// Math.random: sfc32. The runtime's own generator is part of the snapshot and would repeat itself in every instance.
let seeded = false;
let a, b, c, d;
function next() {
  const t = (a + b + d) | 0;
  d = (d + 1) | 0;
  a = b ^ (b >>> 9);
  b = (c + (c << 3)) | 0;
  c = (((c << 21) | (c >>> 11)) + t) | 0;
  return t >>> 0;
}
defineProperty(Math, "random", {
  value: function random() {
    if (!seeded) {
      [a, b, c, d] = host.seed();
      for (let i = 0; i < 12; i++) next();
      seeded = true;
    }
    return ((next() >>> 5) * 67108864 + (next() >>> 6)) / 9007199254740992;
  },
  writable: true,
  configurable: true,
});

const EMISSION = { must: "an event", names: ["trigger", "data", "source", "timeMs", "session", "environment", "attributes"] };
const INVOKE = { must: "an object", names: ["parameters", "data", "context"] };

/// `fields` for an argument: the error is the caller's, at the caller's line.
function argument(what, given, known) {
  if (typeof given !== "object" || given === null) throw new TypeError(`${what} takes ${known.must}`);
  for (const name in given) {
    if (!known.names.includes(name)) throw new TypeError(`${what} knows no \`${name}\`; known are ${known.names.join(", ")}`);
  }
  return given;
}

defineProperty(globalThis, "hookwright", {
  value: freeze({
    get config() { return (settings ??= parsedContext(config.get())); },
    parameters: freeze({
      get(name) {
        const value = parameters.get(text(name));
        return value === null ? undefined : parse(value);
      },
      all: () => parsed(parameters.all()),
    }),
    setParameter(name, value, of = session) {
      if (of === undefined || of === null) throw new Error(`setParameter ${name}: this call belongs to no session; name one as the third argument`);
      const set = value === undefined || value === null ? null : json(value);
      granted(`setParameter ${name}`, () => parameterWrites.set(text(of), text(name), set));
    },
    emit(event) {
      const given = argument("emit", event, EMISSION);
      if (typeof given.trigger !== "string") throw new TypeError("emit needs a trigger");
      const timeMs = given.timeMs ?? null;
      if (timeMs !== null && !(Number.isSafeInteger(timeMs) && timeMs >= 0)) throw new TypeError("emit: timeMs is not a time in milliseconds");
      const emission = {
        trigger: text(given.trigger),
        source: optional(given.source),
        timeMs,
        data: json(given.data),
        session: optional(given.session),
        environment: optional(given.environment),
        attributes: pairs("attributes", given.attributes),
      };
      return granted("emit", () => events.emit(emission));
    },
    invoke(webhook, options = {}) {
      const given = argument("invoke", options, INVOKE);
      const bag = entries(given.parameters ?? {}).map(([name, value]) => [text(name), json(value)]);
      const done = granted(`invoke ${webhook}`, () => webhooks.invoke(text(webhook), bag, json(given.data), json(given.context ?? {})));
      return {
        delivered: done.delivered,
        httpStatus: done.httpStatus,
        errorEvent: done.errorEvent,
        parameters: parsed(done.parameters),
        output: done.output === null ? null : parse(done.output),
      };
    },
    hmacSha256(secret, data) {
      const bytes = body(data ?? "")[0];
      return granted("hmacSha256", () => secrets.hmacSha256(text(secret), bytes));
    },
    state: freeze({
      get(key) {
        const value = state.get(text(key));
        return value === null ? undefined : parse(host.decode(value));
      },
      set(key, value) {
        const bytes = host.encode(json(value));
        granted(`state.set ${key}`, () => state.set(text(key), bytes));
      },
      delete(key) { granted(`state.delete ${key}`, () => state.delete(text(key))); },
    }),
  }),
});

// --- Calls --------------------------------------------------------------------------------------------------------

/// The function asked for, of the evaluated script. `parse_script` has seen to it that the source ends in an expression
/// `({transform, ...})`: the value of the evaluation.
function entry(name) {
  script ??= evaluate(host.source());
  const called = script[name];
  if (typeof called !== "function") throw new Misuse(`\`${name}\` is ${called === undefined ? "not exported" : "not a function"}`);
  return called;
}

function call(name, of, act) {
  session = of;
  settings = undefined;
  try {
    return act(entry(name));
  } catch (thrown) {
    throw failure(thrown);
  }
}

/// As a script sees `types.delivery`.
const delivered = (d) => ({
  id: d.id,
  webhookId: d.webhookId,
  webhookName: d.webhookName,
  session: d.session,
  environment: d.environment,
  context: parsedContext(d.context),
  nowMs: d.nowMs,
});

/// As a script sees `types.event`.
const happened = (e) => ({
  id: e.id,
  trigger: e.trigger,
  source: e.source,
  time: new Date(e.timeMs).toISOString(),
  timeMs: e.timeMs,
  session: e.session,
  environment: e.environment,
  attributes: named(e.attributes),
  data: parse(e.data),
});

const REQUEST = {
  must: "an object that describes a request, or null",
  names: ["method", "pathAndQuery", "headers", "contentType", "body", "bindings"],
};
const OUTCOME = { must: "an object with parameters and output, or nothing", names: ["parameters", "output"] };
const REPLY = { must: "a text or an object with status, headers, body or message", names: ["status", "headers", "body", "message"] };

function bound(given) {
  if (given === undefined || given === null) return [];
  if (!isArray(given)) return entries(given).map(([parameter, path]) => ({ parameter: text(parameter), path: text(path) }));
  return given.map((one) => {
    if (typeof one?.parameter !== "string" || typeof one.path !== "string") throw new Misuse("bindings must be {parameter: path} or a list of {parameter, path}");
    return { parameter: text(one.parameter), path: text(one.path) };
  });
}

const transform = {
  apply: (delivery, list) => call("transform", delivery.session, (act) => {
    const given = act(delivered(delivery), list.map(happened));
    if (given === undefined || given === null) return null;
    const { method, pathAndQuery, headers, contentType, body: content, bindings } = fields("transform", given, REQUEST);
    const [bytes, media] = body(content, null);
    return {
      method: optional(method),
      pathAndQuery: optional(pathAndQuery),
      headers: pairs("headers", headers),
      contentType: optional(contentType) ?? media,
      body: bytes,
      bindings: bound(bindings),
    };
  }),
};

const answers = {
  read: (delivery, answer) => call("answers", delivery.session, (act) => {
    const seen = readable({ status: answer.status, headers: named(answer.headers, joined) }, answer.body, "the answer");
    const given = act(delivered(delivery), seen);
    if (given === undefined || given === null) return { parameters: [], output: null };
    const { parameters: set = {}, output } = fields("answers", given, OUTCOME);
    const writes = [];
    for (const [name, value] of entries(set ?? {})) {
      if (value !== undefined) writes.push([text(name), value === null ? null : json(value)]);
    }
    return { parameters: writes, output: output === undefined || output === null ? null : json(output) };
  }),
};

const receive = {
  receive: (inbound) => call("receive", inbound.session, (act) => {
    const given = act(readable({
      id: inbound.callId,
      receiver: inbound.receiverName,
      caller: inbound.caller,
      session: inbound.session,
      environment: inbound.environment,
      method: inbound.method,
      path: inbound.path,
      query: named(inbound.query, gathered),
      parameters: parsed(inbound.parameters),
      headers: named(inbound.headers, joined),
      verified: inbound.verified,
      remoteAddress: inbound.remoteAddress,
      nowMs: inbound.nowMs,
    }, inbound.body, "the body"));
    if (given === undefined || given === null) return { status: 200, headers: [], body: [] };
    const { status = 200, headers, body: content, message } = typeof given === "string" ? { message: given } : fields("receive", given, REPLY);
    if (!Number.isInteger(status) || status < 200 || status > 599) throw new Misuse(`receive returned the status ${show(status)}; it must be a number from 200 to 599`);
    if (content !== undefined && message !== undefined) throw new Misuse("receive returned both body and message; one of them is enough");
    const [bytes, media] = body(message === undefined ? content : text(message), "text/plain; charset=utf-8");
    const list = pairs("headers", headers);
    if (media && !list.some(([name]) => name.toLowerCase() === "content-type")) list.push(["content-type", media]);
    return { status, headers: list, body: bytes ?? [] };
  }),
};

const loader = {
  load() {
    try {
      script ??= evaluate(host.source());
      for (const name in script) entry(name);
    } catch (thrown) {
      throw explain(thrown).toWellFormed();
    } finally {
      // A snapshot taken now must not repeat random numbers, nor keep the configuration of the trial.
      seeded = false;
      settings = undefined;
    }
  },
};
return { transform: transform.apply, answers: answers.read, receive: receive.receive, load: loader.load };
})
