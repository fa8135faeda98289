// `guest.rs` in JavaScript: a component of its own, made by `componentize-qjs`. VERSION is put in by `tests/guests/build`.
import config from "hookwright:plugin/config@VERSION";
import events from "hookwright:plugin/events@VERSION";
import log from "hookwright:plugin/log@VERSION";
import parameters from "hookwright:plugin/parameters@VERSION";
import parameterWrites from "hookwright:plugin/parameter-writes@VERSION";
import secrets from "hookwright:plugin/secrets@VERSION";
import state from "hookwright:plugin/state@VERSION";
import webhooks from "hookwright:plugin/webhooks@VERSION";

// The engine has no TextEncoder; what is not ASCII is escaped, as JSON allows.
const escaped = (text) => text.replace(/[^\0-\x7f]/g, (c) => "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0"));
const bytes = (text) => Uint8Array.from(escaped(text), (c) => c.charCodeAt(0));
const text = (list) => String.fromCharCode(...list);

// What the interface calls a `result` throws its error; here it is one of the plugin's own.
function must(act) {
  try {
    return act();
  } catch (refusal) {
    throw { tag: "rejected", val: String(refusal) };
  }
}

export const transform = {
  apply(delivery, list) {
    const [event] = list;
    if (event.trigger === "corpus.nothing") return null;
    if (event.trigger === "corpus.rejected") throw { tag: "rejected", val: "as asked" };
    if (event.trigger === "corpus.later") throw { tag: "retry-later", val: "as asked" };
    log.write("info", "built");
    const body = {
      webhook: delivery.webhookName,
      session: delivery.session ?? null,
      events: list.length,
      trigger: event.trigger,
      source: event.source,
      data: JSON.parse(event.data),
      config: JSON.parse(config.get()),
      a: JSON.parse(parameters.get("a") ?? "null"),
      all: parameters.all().length,
      mac: must(() => secrets.hmacSha256("corpus-key", bytes("text"))).length,
      state: (state.get("corpus") ?? []).length,
    };
    return {
      method: "PUT",
      pathAndQuery: "/corpus?x=1",
      headers: [["x-corpus", "yes"]],
      contentType: "application/json",
      body: bytes(JSON.stringify(body)),
      bindings: [{ parameter: "bound", path: "$.answered" }],
    };
  },
};

export const answers = {
  read: (_, answer) => ({
    parameters: [["status", String(answer.status)], ["a", null]],
    output: text(answer.body),
  }),
};

export const receive = {
  receive(call) {
    for (const level of ["debug", "info", "warn", "error"]) log.write(level, "called");
    if (call.session) must(() => parameterWrites.set(call.session, "written", "1"));
    const emission = {
      trigger: "corpus.emitted",
      source: null,
      timeMs: null,
      data: JSON.stringify({ method: call.method }),
      session: null,
      environment: null,
      attributes: [],
    };
    const emitted = must(() => events.emit(emission));
    must(() => state.set("corpus", bytes("12345")));
    must(() => state.delete("nothing"));
    const invoked = must(() => webhooks.invoke("corpus-target", [["p", "2"]], '{"d":1}', "{}"));
    const body = {
      emitted: emitted.startsWith("evt_"),
      delivered: invoked.delivered,
      status: invoked.httpStatus ?? 0,
      output: JSON.parse(invoked.output ?? "null"),
      verified: call.verified,
      q: call.query[0]?.[1] ?? null,
    };
    return { status: 201, headers: [["content-type", "application/json"]], body: bytes(JSON.stringify(body)) };
  },
};
