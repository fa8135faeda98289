//! Plugins built for every release of the interface still work, and the interface only grows (`tests/corpus/README.md`).

use std::{collections::BTreeMap, fs, path::PathBuf};

use hookwright_tests::{
    Client, Endpoint, Script,
    guests::{component, guest},
    root, run, shared, unique,
};
use serde_json::{Value, json};
use wit_parser::{Function, InterfaceId, PackageId, Resolve, Type, TypeDefKind, TypeId, WorldItem};

/// The folders of the corpus, one for each release, oldest first.
fn releases() -> Vec<String> {
    let folders = fs::read_dir(root().join("tests/corpus")).expect("the corpus").flatten();
    let mut releases: Vec<_> =
        folders.filter(|entry| entry.path().is_dir()).filter_map(|entry| entry.file_name().into_string().ok()).collect();
    releases.sort_by_key(|release| release.split('.').map(|number| number.parse::<u32>().expect("a number")).collect::<Vec<_>>());
    releases
}

#[test]
fn plugins_built_against_every_release_do_what_they_did() {
    run(async {
        let client = &shared().await.client;
        let endpoint = Endpoint::start().await;
        client.secret("corpus-key", "corpus").await;
        let target = json!({ "selectors": [], "request": { "url": endpoint.url("/target"), "body": { "asked": "$session.params.p" } } });
        client.webhook("corpus-target", target).await;
        for release in releases() {
            let module = guest(&format!("corpus_{}", release.replace('.', "_")));
            let component = component(&module);
            let javascript = guest(&format!("corpus_js_{}", release.replace('.', "_")));
            for (kind, bytes) in [("module", module), ("component", component.into()), ("javascript", javascript)] {
                println!("{release}, {kind}");
                let plugin = unique("corpus");
                client
                    .grant(
                        &plugin,
                        json!({ "secrets": ["corpus-key"], "webhooks": ["corpus-target"], "triggers": ["corpus.*"], "state": true }),
                    )
                    .await;
                let uploaded = client.plugin(&plugin, bytes).await;
                assert_eq!(uploaded["exports"], json!(["transform", "answers", "receive"]), "{uploaded}");
                builds_and_reads(client, &endpoint, &plugin).await;
                answers(client, &endpoint, &plugin).await;
            }
        }
    });
}

async fn builds_and_reads(client: &Client, endpoint: &Endpoint, plugin: &str) {
    let webhook = unique("corpus");
    let document = json!({ "selectors": ["corpus.*"], "sources": [webhook], "transform": { "plugin": plugin, "config": { "mark": 1 } },
        "request": { "url": endpoint.url("/") } });
    client.webhook(&webhook, document).await;
    endpoint.next(Script::json(json!({ "answered": 7 })));
    let event = |trigger: &str| json!({ "trigger": trigger, "source": webhook, "data": { "é": "😀" }, "session": webhook, "parameters": { "a": [1], "b": 2 } });
    let accepted = client.event(event("corpus.happened")).await;
    assert_eq!(accepted["deliveries"][0]["state"], "delivered", "{accepted}");
    let sent = endpoint.next_request().await;
    assert_eq!((sent.method.as_str(), sent.path.as_str(), sent.header("x-corpus")), ("PUT", "/corpus?x=1", "yes"));
    let seen = json!({ "webhook": webhook, "session": webhook, "events": 1, "trigger": "corpus.happened", "source": webhook,
        "data": { "é": "😀" }, "config": { "mark": 1 }, "a": [1], "all": 2, "mac": 32, "state": 0 });
    assert_eq!(sent.json(), seen);
    let parameters = client.parameters(&webhook).await;
    assert_eq!((&parameters["bound"], &parameters["status"], &parameters["a"]), (&json!(7), &json!(200), &Value::Null), "{parameters}");
    for (trigger, state) in [("corpus.nothing", "delivered"), ("corpus.rejected", "refused"), ("corpus.later", "waiting")] {
        let accepted = client.event(event(trigger)).await;
        assert_eq!(accepted["deliveries"][0]["state"], state, "{accepted}");
    }
}

async fn answers(client: &Client, endpoint: &Endpoint, plugin: &str) {
    let receiver = unique("corpus");
    let document = json!({ "plugin": plugin, "full_reply": true, "session": "$.query.s" });
    let code = client.receiver(&receiver, document).await;
    endpoint.next(Script::json(json!({ "x": 1 })));
    let answered = client.call(&code, &format!("?q=v&s={receiver}"), "").await;
    let expected = json!({ "emitted": true, "delivered": true, "status": 200, "output": null, "verified": false, "q": "v" });
    assert_eq!((answered.status, answered.json()), (201, expected), "{}", answered.text());
    assert_eq!(endpoint.next_request().await.json(), json!({ "asked": 2 }));
    assert_eq!(client.parameters(&receiver).await["written"], 1);
    let call = client.last_call(&receiver).await;
    assert_eq!(call["log"]["lines"].as_array().map(Vec::len), Some(4), "{call}");
    assert_eq!(call["events"].as_array().map(Vec::len), Some(2), "{call}");
}

#[test]
fn the_component_in_javascript_that_the_sdks_readme_shows_does_what_it_says() {
    run(async {
        let client = &shared().await.client;
        let endpoint = Endpoint::start().await;
        let name = unique("readme");
        client.plugin(&name, guest("readme_component")).await;
        client.webhook(&name, json!({ "transform": name, "request": { "url": endpoint.url("/") } })).await;
        assert_eq!(client.invoke(&name, json!({ "data": { "name": "Zoé 😀" } })).await["state"], "delivered");
        assert_eq!(endpoint.next_request().await.json(), json!({ "text": "Hello, Zoé 😀!" }));
        let refused = client.invoke(&name, json!({ "data": {} })).await;
        assert_eq!((&refused["failure"]["kind"], &refused["state"]), (&json!("plugin_rejected"), &json!("refused")), "{refused}");
    });
}

/// One release of the interface, as far as it is a promise.
struct Interface {
    resolve: Resolve,
    package: PackageId,
}

impl Interface {
    fn read(path: PathBuf) -> Self {
        let mut resolve = Resolve::new();
        let package = resolve.push_file(&path).unwrap_or_else(|error| panic!("{}: {error:#}", path.display()));
        Self { resolve, package }
    }

    fn interfaces(&self) -> impl Iterator<Item = (&String, &InterfaceId)> {
        self.resolve.packages[self.package].interfaces.iter()
    }

    /// The definition of each type and function of an interface, by its name.
    fn items(&self, interface: InterfaceId) -> BTreeMap<String, String> {
        let interface = &self.resolve.interfaces[interface];
        let types = interface.types.iter().map(|(name, id)| (name.clone(), self.definition(*id)));
        types.chain(interface.functions.iter().map(|(name, function)| (format!("{name}()"), self.signature(function)))).collect()
    }

    fn signature(&self, function: &Function) -> String {
        let parameters: Vec<_> =
            function.params.iter().map(|parameter| format!("{}: {}", parameter.name, self.shown(&parameter.ty))).collect();
        format!(
            "({}) -> {}",
            parameters.join(", "),
            function.result.as_ref().map_or_else(|| "nothing".to_owned(), |result| self.shown(result))
        )
    }

    fn definition(&self, id: TypeId) -> String {
        let optional = |ty: &Option<Type>| ty.as_ref().map_or_else(|| "_".to_owned(), |ty| self.shown(ty));
        let list = |types: &[Type]| types.iter().map(|ty| self.shown(ty)).collect::<Vec<_>>().join(", ");
        match &self.resolve.types[id].kind {
            TypeDefKind::Record(record) => {
                let fields: Vec<_> = record.fields.iter().map(|field| format!("{}: {}", field.name, self.shown(&field.ty))).collect();
                format!("record {{{}}}", fields.join(", "))
            }
            TypeDefKind::Variant(variant) => {
                let cases: Vec<_> = variant.cases.iter().map(|case| format!("{}({})", case.name, optional(&case.ty))).collect();
                format!("variant {{{}}}", cases.join(", "))
            }
            TypeDefKind::Enum(cases) => {
                format!("enum {{{}}}", cases.cases.iter().map(|case| case.name.as_str()).collect::<Vec<_>>().join(", "))
            }
            TypeDefKind::List(ty) => format!("list<{}>", self.shown(ty)),
            TypeDefKind::Option(ty) => format!("option<{}>", self.shown(ty)),
            TypeDefKind::Tuple(tuple) => format!("tuple<{}>", list(&tuple.types)),
            TypeDefKind::Result(result) => format!("result<{}, {}>", optional(&result.ok), optional(&result.err)),
            TypeDefKind::Type(ty) => self.shown(ty),
            other => panic!("this test knows no {}: teach it", other.as_str()),
        }
    }

    fn shown(&self, ty: &Type) -> String {
        match ty {
            Type::Id(id) => match &self.resolve.types[*id].name {
                Some(name) => name.clone(),
                None => self.definition(*id),
            },
            primitive => format!("{primitive:?}").to_lowercase(),
        }
    }
}

/// The exports of plugins and the types they exchange: nothing may be added to these.
const CLOSED: [&str; 4] = ["types", "transform", "answers", "receive"];

#[test]
fn the_interface_only_grows() {
    let newest = releases().pop().expect("a release");
    let released = Interface::read(root().join(format!("tests/corpus/{newest}/hookwright.wit")));
    let current = Interface::read(root().join("guest-sdk/wit/hookwright.wit"));
    let version = |of: &Interface| of.resolve.packages[of.package].name.version.clone().expect("a version");
    let (was, is) = (version(&released), version(&current));
    assert_eq!(was.to_string(), newest, "the folder is named for what is in it");
    assert!(
        (is.major, is.minor) == (was.major, was.minor) && is >= was,
        "{is} after {was}: a new minor version begins a folder of the corpus"
    );
    let now: BTreeMap<_, _> = current.interfaces().map(|(name, id)| (name.clone(), current.items(*id))).collect();
    for (name, id) in released.interfaces() {
        let (before, after) = (released.items(*id), now.get(name).unwrap_or_else(|| panic!("the interface {name} is gone")));
        for (item, definition) in &before {
            assert_eq!(after.get(item), Some(definition), "{name}.{item} is not what {newest} promised");
        }
        if CLOSED.contains(&name.as_str()) {
            assert_eq!(after.len(), before.len(), "{name} is closed: growth there is a new interface");
        }
    }
    // A world may get new imports, but its exports stay the same.
    for (name, id) in &released.resolve.packages[released.package].worlds {
        let exports = |of: &Interface, id| {
            let names = of.resolve.worlds[id].exports.values().map(|item| match item {
                WorldItem::Interface { id, .. } => of.resolve.interfaces[*id].name.clone().unwrap_or_default(),
                other => panic!("worlds export interfaces alone: {other:?}"),
            });
            names.collect::<Vec<_>>()
        };
        let after = current.resolve.packages[current.package].worlds.get(name).unwrap_or_else(|| panic!("the world {name} is gone"));
        assert_eq!(exports(&current, *after), exports(&released, *id), "the world {name}");
    }
}

#[test]
fn every_release_has_its_plugins() {
    for release in releases() {
        let name = format!("corpus_{}", release.replace('.', "_"));
        let source = fs::read_to_string(root().join(format!("tests/guests/examples/{name}.rs"))).expect("a guest");
        assert!(source.contains(&format!("../corpus/{release}")), "{name} is built against its own release");
    }
}
