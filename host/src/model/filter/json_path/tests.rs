//! Our own table of cases, the compliance suite where it is at hand, budgets, and random paths against `jsonpath-rust`.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn error(text: &str) -> JsonPathError {
    JsonPath::parse(text).unwrap_err()
}

fn found(path: &str, document: &Value) -> Value {
    JsonPath::parse(path).unwrap().find(document).unwrap().into_iter().cloned().collect()
}

#[test]
fn the_path_of_the_dialogflow_page_finds_its_value() {
    // Dialogflow CX, "Webhooks", flexible webhook response.
    let answer = json!({"routes": [{"legs": [{"distance": {"text": "2,064 mi", "value": 3_321_004}}]}]});
    assert_eq!(found("$.routes[0].legs[0].distance.value", &answer), json!([3_321_004]));
    assert_eq!(found("$['routes'][-1].legs[0:1].distance['text']", &answer), json!(["2,064 mi"]));
    assert_eq!(found("$.routes[0].legs", &json!([])), json!([]));
    assert_eq!(found("$.a", &Value::Null), json!([]));
}

/// Paths, what they are asked of, and what they find.
#[test]
fn paths_find_what_rfc_9535_says() {
    let list = json!([10, 11, 12, 13, 14]);
    let people = json!([{"n": 1, "s": "a"}, {"n": 2.0}, {"s": "b"}, {"n": null, "x": {"n": 5}}]);
    let table = [
        ("$", &json!(3), json!([3])),
        ("$[1:4:2]", &list, json!([11, 13])),
        ("$[::-2]", &list, json!([14, 12, 10])),
        ("$[4:1:-1]", &list, json!([14, 13, 12])),
        ("$[-2:]", &list, json!([13, 14])),
        ("$[0:3:0]", &list, json!([])),
        ("$[1,1,-1]", &list, json!([11, 11, 14])),
        ("$ [ 0 ] ", &json!(1), Value::Null),
        ("$\n[\t0 , 1 ]", &list, json!([10, 11])),
        ("$..n", &people, json!([1, 2.0, null, 5])),
        ("$..['n','s']", &json!([{"s": 1, "n": 2}, {"n": 3, "s": 4}]), json!([2, 1, 3, 4])),
        ("$..*", &json!({"a": [1], "b": 2}), json!([[1], 2, 1])),
        ("$[?@.n].n", &people, json!([1, 2.0, null])),
        ("$[?@.n == 2].n", &people, json!([2.0])),
        ("$[?@.n == null].n", &people, json!([null])),
        ("$[?@.n != 1].s", &people, json!(["b"])),
        ("$[?@.n && @.n != 1].n", &people, json!([2.0, null])),
        ("$[?!@.n].s", &people, json!(["b"])),
        ("$[?@.n == @.missing].s", &people, json!(["b"])),
        ("$[?@.n < 2].n", &people, json!([1])),
        ("$[?@.n <= 2.0e0].n", &people, json!([1, 2.0])),
        ("$[?(@.n == 1 || @.s == 'b') && @.s].s", &people, json!(["a", "b"])),
        ("$[?@.x == $[3].x].x.n", &people, json!([5])),
        ("$[?@[?@>1]]", &json!([[1], [2]]), json!([[2]])),
        ("$[?length(@.s) == 1].s", &people, json!(["a", "b"])),
        ("$[?length(@) == 2]", &json!(["é☺", "a", [1, 2], {"a": 1, "b": 2}, 22]), json!(["é☺", [1, 2], {"a": 1, "b": 2}])),
        ("$[?count(@.*) == 2].s", &people, json!(["a"])),
        ("$[?value(@..n) == 5].x.n", &json!([{"x": {"n": 5}}, {"x": {"n": 5}, "n": 5}]), json!([5])),
        ("$[?match(@, 'a.c')]", &json!(["abc", "xabc", "a\nc"]), json!(["abc"])),
        ("$[?search(@, '[0-9]{2}')]", &json!(["a12", "1a2", 12]), json!(["a12"])),
        ("$[?search(@, $[0])]", &json!(["b+", "abba", "("]), json!(["b+", "abba"])),
        ("$[?match(@, '\\\\d+')]", &json!(["12", "1a"]), json!(["12"])),
        ("$[?search(@, '(?i)pass')]", &json!(["PASSport"]), json!(["PASSport"])),
        ("$[?@ == {}]", &json!([]), Value::Null),
        ("$[?@.a == @.b].n", &json!([{"a": [1, {"k": 2}], "b": [1.0, {"k": 2}], "n": 1}]), json!([1])),
        ("$[?@.a == @.b].n", &json!([{"a": {"x": 1, "y": 2}, "b": {"y": 2, "x": 1}, "n": 1}]), json!([1])),
        ("$['\\u263a', \"\\uD834\\uDD1E\"]", &json!({"☺": 1, "𝄞": 2}), json!([1, 2])),
        ("$.☺.a\u{a0}", &json!({"☺": {"a\u{a0}": 1}}), json!([1])),
    ];
    for (path, document, expected) in table {
        match JsonPath::parse(path) {
            Ok(_) => assert_eq!(found(path, document), expected, "{path} on {document}"),
            Err(error) => assert_eq!(expected, Value::Null, "{path}: {error}"),
        }
    }
}

#[test]
fn numbers_are_compared_exactly() {
    let ids = json!([{"id": 9_007_199_254_740_992_i64, "n": "a"}, {"id": 9_007_199_254_740_993_i64, "n": "b"}, {"id": u64::MAX, "n": "c"}]);
    assert_eq!(found("$[?@.id == 9007199254740993].n", &ids), json!(["b"]));
    assert_eq!(found("$[?@.id == 9.007199254740993e15].n", &ids), json!(["b"]));
    assert_eq!(found("$[?@.id == $[0].id].n", &ids), json!(["a"]));
    assert_eq!(found("$[?@.id > 9007199254740992].n", &ids), json!(["b", "c"]));
    assert_eq!(found("$[?@.id == 18446744073709551615].n", &ids), json!(["c"]));
    assert_eq!(found("$[?@.id < 1e400 && @.id > -1e400].n", &ids), json!(["a", "b", "c"]));
    assert_eq!(found("$[?@ == 0.1]", &json!([0.1, 0.2])), json!([0.1]));
    assert_eq!(found("$[?@ == -0]", &json!([0, -0.0, 1])), json!([0, -0.0]));
}

#[test]
fn what_is_refused_says_where_and_what_would_be_right() {
    for (path, position, said) in [
        ("data", Some(0), "begins with `$`"),
        ("", Some(0), "begins with `$`"),
        ("$.a[", Some(4), "expected selector"),
        ("$.é[", Some(4), "expected selector"),
        ("$.a b", Some(4), "RFC 9535"),
        ("$[?count(@.items)]", Some(3), "`count(...) > 0`"),
        ("$[?@.a == 1 && length(@.name)]", Some(15), "`length(...) > 0`"),
        ("$[?value(@.items)]", Some(3), "compared"),
        ("$[?length(@.*)<3]", Some(3), "count(@.list[*])"),
        ("$[?length(@['a','b'])<3]", Some(3), "can find several"),
        ("$[?count(1)>2]", None, "RFC 9535"),
        ("$[?match(@.a, 'a')==true]", None, "`!match(...)`"),
        ("$[?@.* == 1]", Some(7), "names and indices alone"),
        ("$[?any_of(@.a, $.b)]", Some(3), "no function `any_of`"),
        (r"$[?match(@.a, '(a)\\1')]", Some(3), "back-references"),
        (r"$[?match(@.a, '(?=a)')]", Some(3), "look-around"),
        (r"$[?match(@.a, 'a{1000}')]", Some(3), "too large"),
        (r"$[?match(@.a, '((\\w{99}){99}){99}')]", Some(3), "too large"),
        (r"$[?match(@.a, '[a')]", Some(3), "not closed"),
        (r"$[?match(@.a, '*a')]", Some(3), "repeats"),
        ("$[?length(length(length(length(length(@.a)))))>1]", Some(37), "4 deep"),
        ("$[9007199254740992]", Some(1), "expected"),
    ] {
        let error = error(path);
        let place = if position.is_none() { error.position } else { position };
        assert!(error.detail.contains(said), "{path}: {error}");
        assert!(error.position == place || (position == Some(1)), "{path}: {error}");
    }
    assert!(error("$.a[").to_string().ends_with("(at character 4)"));
}

#[test]
fn paths_have_a_length_and_a_depth() {
    assert!(JsonPath::parse(&format!("$.{}", "a".repeat(PATH_CHARS_MAX))).is_err());
    let deep = |n: usize| format!("$[?{}@.a{}]", "(".repeat(n), ")".repeat(n));
    assert!(JsonPath::parse(&deep(PATH_DEPTH_MAX - 1)).is_ok());
    assert!(JsonPath::parse(&deep(PATH_DEPTH_MAX)).is_err());
    assert!(JsonPath::parse(&format!("$['{}']", "(".repeat(100))).is_ok());
}

#[test]
fn steps_are_the_same_each_time() {
    let (path, document) = (
        JsonPath::parse("$..[?search(@.name, 'a+') || @.sku == 'b']").unwrap(),
        json!({"items": [{"name": "xa", "sku": "b"}, {"n": [1.5]}]}),
    );
    let taken = || {
        let mut steps = Steps::default();
        path.find_within(&document, &mut steps).unwrap();
        steps.taken()
    };
    assert_eq!(taken(), taken());
    assert!((10..60).contains(&taken()), "{}", taken());
}

/// Pieces of paths in any order.
fn nearly() -> impl Strategy<Value = String> {
    let pieces = "$ @ . .. [ ] * ? ( ) 'a' \"b\" a b 0 1 -1 : , == != < <= && || ! length( count( value( match( search( 1.5 1e400 9007199254740993 \
        null true '\\ue000' é '(' \u{a0} -";
    let pieces: Vec<_> = pieces.split(' ').map(str::to_owned).collect();
    let piece = prop_oneof![8 => prop::sample::select(pieces), 1 => Just(" ".to_owned()), 1 => any::<char>().prop_map(String::from)];
    prop::collection::vec(piece, 0..20).prop_map(|pieces| format!("${}", pieces.concat()))
}

/// Paths that are well-formed, without what `jsonpath-rust` is known to evaluate otherwise: patterns, large numbers, several selectors and
/// filters on `@` itself.
fn path() -> impl Strategy<Value = String> {
    let plain = prop::sample::select(vec![".a", ".b", "['a']", "[0]", "[-1]", "[1:]", "[::2]", "[*]", ".*", "..a", "..*", "..[0]"]);
    let filter = prop::sample::select(vec![
        "[?@.a]",
        "[?!@.b]",
        "[?@.a == 1]",
        "[?@.a != 1]",
        "[?@.a < 2 && @.b]",
        "[?@.a == 'x' || @.b > 1]",
        "[?@.b == null]",
        "[?length(@.a) > 0]",
        "[?count(@.*) > 1]",
        "[?@.a == $.a]",
        "[?(@.a || @.b) && !@[0]]",
    ]);
    prop::collection::vec(prop_oneof![4 => plain, 1 => filter], 0..5).prop_map(|segments| format!("${}", segments.concat()))
}

fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![Just(json!(null)), Just(json!(1)), Just(json!(2)), Just(json!("x")), Just(json!("")), Just(json!(true))];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::vec((prop::sample::select(vec!["a", "b", "c"]), inner), 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())),
        ]
    })
}

proptest! {
    /// `tests/run fuzz` does this for minutes.
    #[test]
    fn no_text_makes_paths_panic(texts in prop::collection::vec(nearly(), 32), document in document()) {
        for text in texts {
            if let Ok(path) = JsonPath::parse(&text) {
                prop_assert_eq!(path.as_str(), &text);
                let _ = path.find(&document);
            }
        }
    }

    #[test]
    fn no_path_finds_other_than_jsonpath_rust_or_panics(path in path(), document in document()) {
        let theirs = jsonpath_rust::query::js_path_process(&parse_json_path(&path).unwrap(), &document);
        let theirs: Vec<&Value> = theirs.map(|found| found.into_iter().map(|one| one.val).collect()).unwrap_or_default();
        let compiled = JsonPath::parse(&path).unwrap();
        let ours = compiled.find(&document).unwrap();
        // It goes through what is below in another order.
        let sorted = |values: Vec<&Value>| { let mut texts: Vec<_> = values.iter().map(ToString::to_string).collect(); texts.sort(); texts };
        prop_assert_eq!(sorted(ours), sorted(theirs), "{}", path);
    }
}

/// What reads the clock, or a file.
#[cfg(test)]
mod measured {
    use std::time::{Duration, Instant};

    use super::*;

    /// The file of the JSONPath compliance suite, which is not part of the repository: `tests/run cts FILE` sets it.
    const SUITE: &str = "HOOKWRIGHT_TEST_CTS";

    /// Documents of the largest sizes, each of which is the worst for some path.
    fn hostile() -> Vec<Value> {
        let mut deep = json!(vec![1; 2_000]);
        for _ in 0..100 {
            deep = json!([deep, 1]);
        }
        vec![
            json!(vec![0; 2_000_000]),
            json!({"items": vec![json!({"name": "", "sku": ""}); 160_000]}),
            json!(vec![json!([[]]); 400_000]),
            json!(vec![1.5e300; 100_000]),
            json!(["a".repeat(4 << 20)]),
            json!(vec!["hello wörld"; 20_000]),
            json!({"k".repeat(60_000): vec![0; 50_000]}),
            deep,
        ]
    }

    #[test]
    fn the_costliest_paths_end_within_their_budget_on_hostile_documents() {
        let paths = [
            "$..*",
            "$..*..*",
            "$..[*,*,*,*,*,*,*,*]",
            "$[*,*][*,*][*,*][*,*][*,*][*,*]",
            "$..[?@.a || @[0]]",
            "$..[?@..b]",
            "$..[?$..x]",
            "$..[?@ == $]",
            "$..[?count(@..*) > 1]",
            "$..[?value($..*) == 1]",
            "$..[?length(@) > 1]",
            "$..[?@ > 1.00000000000000000001]",
            "$..[::-1]",
            "$..[?@[?@[?@[?@]]]]",
            "$..[?search(@, 'x')]",
            r"$..[?search(@, '\\pL{2,40}@')]",
            r"$..[?search(@, '[\\w.+-]+@[\\w-]+\\.[\\w.]+')]",
            "$..[?search(@, '.*[a-m].{300}$')]",
            "$..[?match(@, '(.*a){20}b')]",
            "$..[?search(@, @)]",
        ];
        let documents = hostile();
        let mut over = 0;
        for text in paths {
            let path = JsonPath::parse(text).unwrap();
            for document in &documents {
                let (mut steps, started) = (Steps::default(), Instant::now());
                match path.find_within(document, &mut steps) {
                    Ok(found) => assert!(found.len() <= PATH_NODES_MAX),
                    Err(_) => over += 1,
                }
                assert!(steps.taken() <= PATH_STEPS_MAX);
                // A machine under load, and a build that is not optimised: what is bounded is the steps.
                assert!(started.elapsed() < Duration::from_secs(10), "{text}: {:?}", started.elapsed());
            }
        }
        assert!(over > 20, "{over}");
    }

    /// `tests/run cts FILE`; without a file there is nothing to do.
    #[test]
    fn the_compliance_suite_passes() {
        let Some(file) = std::env::var_os(SUITE) else { return };
        let suite: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        let cases = suite["tests"].as_array().unwrap();
        let failed: Vec<_> = cases.iter().filter_map(|case| failure(case).map(|why| format!("{}: {why}", case["name"]))).collect();
        println!("{} of {} cases pass", cases.len() - failed.len(), cases.len());
        assert!(failed.is_empty(), "{}", failed.join("\n"));
    }

    fn failure(case: &Value) -> Option<String> {
        let text = case["selector"].as_str().unwrap();
        match (JsonPath::parse(text), case["invalid_selector"] == true) {
            (Err(_), true) => None,
            (Ok(_), true) => Some(format!("{text} is taken")),
            (Err(error), false) => Some(format!("{text} is refused: {error}")),
            (Ok(path), false) => {
                let found: Value = path.find(&case["document"]).unwrap().into_iter().cloned().collect();
                let is_right = found == case["result"] || case["results"].as_array().is_some_and(|results| results.contains(&found));
                (!is_right).then(|| format!("{text} on {} finds {found}", case["document"]))
            }
        }
    }
}
