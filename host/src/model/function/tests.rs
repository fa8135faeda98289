//! A table for each family, then what is refused when it is written, then what no input can do.

use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{call::ARGUMENTS_MAX, failure::PREFIX, *};
use crate::model::{
    parameter::Parameters,
    reference::{Expansion, Scope},
    template::Template,
};

fn parameters() -> Parameters {
    serde_json::from_value(json!({
        "size": 3, "half": 0.5, "fruit": "apple", "empty": "", "ready": true, "list": [1, "b", 1.0, null, {"x": 1, "y": 2}],
        "orders": [{"id": 7, "price": 12.5}, {"id": 8, "price": 3}], "order": {"id": 7, "lines": [{"sku": "a"}]},
        "date": {"year": 2026, "month": 2, "day": 28}, "date-time": {"year": 2026, "month": 3, "day": 1, "hours": 9, "minutes": 5, "seconds": 0},
        "trick": "$session.params.fruit", "condition": "$session.params.size = 3"
    }))
    .unwrap()
}

fn evaluate(text: &str) -> Result<Value, FunctionFailure> {
    let parameters = parameters();
    let ambient = Ambient { now: "2026-03-01T12:00:00.5Z".parse().unwrap(), seed: [7; 32] };
    let scope = Scope { ambient, ..Scope::of(&parameters) };
    let call = Call::parse(text).unwrap_or_else(|error| panic!("{text}: at {}: {}", error.at, error.detail));
    assert_eq!(call.as_str(), text);
    call.value(&scope, &mut Expansion::default())
}

#[track_caller]
fn gives(table: &[(&str, Value)]) {
    for (text, expected) in table {
        let text = &format!("{PREFIX}{text}");
        assert_eq!(evaluate(text).as_ref(), Ok(expected), "{text}");
    }
}

#[track_caller]
fn fails(table: &[(&str, &str)]) {
    for (text, says) in table {
        let failure = evaluate(&format!("{PREFIX}{text}")).expect_err(text);
        assert!(failure.to_string().contains(says), "{text}: {failure}");
        assert!(text.starts_with(failure.function) || text.contains(failure.function), "{text}: {failure}");
    }
}

#[track_caller]
fn refused(table: &[(&str, usize, &str)]) {
    for (text, at, says) in table {
        let error = Call::parse(&format!("{PREFIX}{text}")).expect_err(text);
        assert!(error.detail.contains(says), "{text}: {}", error.detail);
        assert_eq!(error.at, PREFIX.len() + at, "{text}: {}", error.detail);
    }
}

#[test]
fn numbers() {
    gives(&[
        ("ADD(1)", json!(1)),
        ("ADD(1, 2, $session.params.size)", json!(6)),
        ("ADD(1, 0.5)", json!(1.5)),
        ("ADD(9007199254740993, 1)", json!(9_007_199_254_740_994_i64)),
        ("ADD(9223372036854775807, 1)", json!(9_223_372_036_854_775_808.0)),
        ("ADD(0.5, $session.params.half)", json!(1)),
        ("MINUS(1, 3)", json!(-2)),
        ("MULTIPLY(2, 3, 4)", json!(24)),
        ("MULTIPLY(-1.5, 2)", json!(-3)),
        ("DIVIDE(10, 4)", json!(2.5)),
        ("DIVIDE(10, 3)", json!(3.333)),
        ("DIVIDE(10, 3, 0)", json!(3)),
        ("DIVIDE(2, 3, 5)", json!(0.66667)),
        ("ROUND(2.5)", json!(3)),
        ("ROUND(-2.5)", json!(-3)),
        ("ROUND(1.25, 1)", json!(1.3)),
        ("ROUND(7)", json!(7)),
        ("ROUND(1e300, 2)", json!(1e300)),
    ]);
    let Ok(Value::Number(random)) = evaluate("$sys.func.RAND()") else { panic!("no number") };
    assert!((0.0..1.0).contains(&random.as_f64().unwrap()));
    assert_eq!(evaluate("$sys.func.rand()").unwrap(), Value::Number(random));
    fails(&[
        ("DIVIDE(1, $session.params.none)", "argument 2 is not a number"),
        ("DIVIDE(1, $sys.func.MINUS(1, 1))", "divide by zero"),
        ("DIVIDE(1, 3, 99)", "at most 15"),
        ("ADD(1, $session.params.fruit)", "argument 2 is not a number"),
        ("MULTIPLY(1e300, 1e300)", "no number"),
    ]);
}

#[test]
fn text() {
    gives(&[
        (r#"CONCATENATE("a", $session.params.size, $session.params.ready, $session.params.none, [1, "x"])"#, json!(r#"a3true[1,"x"]"#)),
        (r#"LEN("été")"#, json!(3)),
        (r#"LOWER("ÉTÉ")"#, json!("été")),
        ("UPPER($session.params.fruit)", json!("APPLE")),
        ("UPPER($session.params.none)", json!("")),
        (r#"MID("abcdef", 2, 3)"#, json!("bcd")),
        (r#"MID("abc", 3, 99)"#, json!("c")),
        (r#"MID("abc", 9, 1)"#, json!("")),
        (r#"SUBSTITUTE("a.b.c", ".", "--")"#, json!("a--b--c")),
        (r#"SUBSTITUTE("abc", "", "x")"#, json!("abc")),
        (r#"SPLIT("a,b,,c", ",")"#, json!(["a", "b", "", "c"])),
        (r#"SPLIT("été", "")"#, json!(["é", "t", "é"])),
        (r#"SPLIT("", ",")"#, json!([])),
        (r#"JOIN(", ", ["a", 1, true])"#, json!("a, 1, true")),
        (r#"JOIN(", ", ["a", "b", "c"], " and ")"#, json!("a, b and c")),
        (r#"JOIN(", ", ["a"], " and ")"#, json!("a")),
        (r#"JOIN(", ", $session.params.none)"#, json!("")),
        (r#"URL_ENCODE("a b/é~")"#, json!("a%20b%2F%C3%A9~")),
        (r#"CONCATENATE("say \"hi\"\n", "\u00e9")"#, json!("say \"hi\"\né")),
    ]);
    let uuid = evaluate("$sys.func.UUID()").unwrap();
    let uuid = uuid.as_str().unwrap();
    assert!(uuid.len() == 36 && &uuid[14..15] == "4" && "89ab".contains(&uuid[19..20]), "{uuid}");
    fails(&[("LEN($session.params.size)", "argument 1 is not a text"), (r#"MID("a", 0, 1)"#, "counted from 1")]);
}

#[test]
fn lists() {
    gives(&[
        ("APPEND([1], 2, [3, 4])", json!([1, 2, 3, 4])),
        ("APPEND($session.params.none, 1)", json!([1])),
        (r#"REMOVE([1, "b", 1, 2], 1)"#, json!(["b", 2])),
        ("REMOVE([1, 2, 3], [1, 3])", json!([2])),
        ("UNIQUE($session.params.list)", json!([1, "b", null, {"x": 1, "y": 2}])),
        ("COUNT($session.params.list)", json!(5)),
        ("COUNT($session.params.none)", json!(0)),
        ("GET($session.params.list, 1)", json!("b")),
        ("GET($session.params.list, 99)", Value::Null),
        ("CONTAIN([1, 2], 2.0)", json!(true)),
        ("CONTAIN([1, 2], 3)", json!(false)),
        (r#"CONTAIN("b", $session.params.list)"#, json!(true)),
        ("CONTAIN([[1]], [1])", json!(true)),
        ("CONTAIN($session.params.none, 1)", json!(false)),
        (r#"MATCH(["a", "b"], "b")"#, json!(1)),
        (r#"MATCH(["a"], "z")"#, json!(-1)),
    ]);
    fails(&[
        ("GET($session.params.list, $session.params.half)", "a whole number from 0 on"),
        ("COUNT($session.params.fruit)", "argument 1 is not a list"),
        ("CONTAIN($session.params.fruit, $session.params.size)", "argument 1 is not a list"),
    ]);
}

#[test]
fn objects() {
    gives(&[
        (r#"GET_FIELD($session.params.order, "id")"#, json!(7)),
        (r#"GET_FIELD($session.params.order, "ID")"#, Value::Null),
        (r#"NESTED_FIELD("$session.params.order", "lines", 0, "sku")"#, json!("a")),
        (r#"NESTED_FIELD($session.params.order, "lines", 9, "sku")"#, Value::Null),
        (r#"FILTER("$session.params.orders", "$[?@.price < 10].id")"#, json!([8])),
        (r#"FILTER($session.params.orders, "$[0:1]")"#, json!([{"id": 7, "price": 12.5}])),
        (r#"FILTER($session.params.none, "$[0]")"#, json!([])),
        ("IDENTITY($session.params.order)", json!({"id": 7, "lines": [{"sku": "a"}]})),
        ("IDENTITY($session.params.trick)", json!("$session.params.fruit")),
    ]);
    fails(&[(r#"GET_FIELD($session.params.fruit, "x")"#, "argument 1 is not an object")]);
}

#[test]
fn dates() {
    gives(&[
        ("NOW()", json!("2026-03-01T12:00:00Z")),
        (r#"ADD_DATE("2026-01-31", 1, "MONTHS")"#, json!("2026-02-28")),
        (r#"ADD_DATE("2026-02-28", -1, "year")"#, json!("2025-02-28")),
        (r#"ADD_DATE("2026-03-01T23:30:00+02:00", 45, "minutes")"#, json!("2026-03-02T00:15:00+02:00")),
        (r#"ADD_DATE("2026-03-01", 90, "MINUTES")"#, json!("2026-03-01T01:30:00")),
        (r#"ADD_DATE($session.params.date, 1, "DAYS")"#, json!("2026-03-01")),
        (r#"ADD_DATE($sys.func.NOW(), 2, "WEEKS")"#, json!("2026-03-15T12:00:00Z")),
        (r#"FORMAT_DATE("2026-03-01", "dd/MM/yyyy")"#, json!("01/03/2026")),
        (
            r#"FORMAT_DATE("2026-03-01T15:04:05.25Z", "EEE d MMM yy, h:mm a S 'o''clock' XXX x")"#,
            json!("Sun 1 Mar 26, 3:04 PM 2 o'clock Z +00"),
        ),
        (r#"FORMAT_DATE("2026-08-15", "EEEE d MMMM y", "fr")"#, json!("samedi 15 août 2026")),
        (r#"FORMAT_DATE($session.params.date-time, "HH:mm", "de-AT")"#, json!("09:05")),
        (r#"FORMAT_DATE("2026-03-01T00:05:00-03:30", "hh D Z X")"#, json!("12 60 -0330 -0330")),
        (r#"IS_DATE("2026-02-30")"#, json!(false)),
        ("IS_DATE($session.params.date)", json!(true)),
        ("IS_DATE(3)", json!(false)),
        (r#"IS_FUTURE_DATE("2026-03-01T12:00:01Z")"#, json!(true)),
        (r#"IS_FUTURE_DATE("2026-03-01")"#, json!(false)),
        (r#"IS_PAST_DATE("2026-03-01")"#, json!(false)),
        (r#"IS_PAST_DATE("2026-02-28")"#, json!(true)),
        (r#"IS_PAST_DATE("2026-03-01T13:30:00+02:00")"#, json!(true)),
    ]);
    fails(&[
        (r#"ADD_DATE($session.params.fruit, 1, "DAYS")"#, "argument 1 is not a date"),
        (r#"ADD_DATE($session.params.none, 1, "DAYS")"#, "argument 1 is not a date"),
        (r#"ADD_DATE("2026-01-01", 999999, "YEARS")"#, "past the end of time"),
        (r#"ADD_DATE("2026-01-01", 0.5, "DAYS")"#, "no whole number"),
    ]);
}

#[test]
fn types_checks_and_logic() {
    gives(&[
        ("TO_TEXT($session.params.order)", json!(r#"{"id":7,"lines":[{"sku":"a"}]}"#)),
        ("TO_TEXT(3)", json!("3")),
        (r#"TO_NUMBER(" 12.50 ")"#, json!(12.5)),
        (r#"TO_NUMBER("+7")"#, json!(7)),
        ("TO_NUMBER($session.params.ready)", json!(1)),
        (r#"TO_OBJECT("{\"a\": [1]}")"#, json!({"a": [1]})),
        (r#"TO_PHONE_NUMBER("+33 1.23-45 (67) 89")"#, json!("+33123456789")),
        (r#"TO_PHONE_NUMBER("0041 44 668 18 00")"#, json!("+41446681800")),
        (r#"IS_PHONE_NUMBER("01 23 45 67 89")"#, json!(false)),
        (r#"IS_PHONE_NUMBER("+33 1 23 45 67 89")"#, json!(true)),
        (r#"IS_CREDIT_CARD_NUMBER("4111 1111 1111 1111")"#, json!(true)),
        (r#"IS_CREDIT_CARD_NUMBER("4111-1111-1111-1112")"#, json!(false)),
        ("IS_CREDIT_CARD_NUMBER(79927398713)", json!(false)),
        (r#"IF("$session.params.size > 2", "big", "small")"#, json!("big")),
        (r#"IF("$session.params.none = null", 1, 2)"#, json!(1)),
        ("IF($session.params.ready, 1, $sys.func.DIVIDE(1, $session.params.none))", json!(1)),
        (r#"IF($sys.func.IS_DATE("x"), 1, 2)"#, json!(2)),
    ]);
    fails(&[
        (r#"TO_NUMBER("twelve")"#, "no number"),
        (r#"TO_NUMBER("inf")"#, "no number"),
        (r#"TO_OBJECT("[1]")"#, "no object"),
        (r#"TO_PHONE_NUMBER("12")"#, "no phone number"),
        // What a parameter holds is never read as a condition.
        ("IF($session.params.condition, 1, 2)", "no condition"),
    ]);
}

#[test]
fn conditions() {
    for (condition, holds) in [
        (r#"$session.params.fruit = "apple""#, true),
        ("$session.params.fruit = apple", true),
        ("$session.params.fruit = Apple", false),
        ("$session.params.fruit : ppl", true),
        ("$session.params.fruit != pear", true),
        ("$session.params.fruit < banana", true),
        ("$session.params.size = 3", true),
        (r#"$session.params.size = "3""#, true),
        ("$session.params.size >= 3.0 AND $session.params.size < 4", true),
        ("$session.params.size > apple", false),
        ("$session.params.size : 3", true),
        ("$session.params.ready = true", true),
        ("$session.params.ready = false OR $session.params.size != 4", true),
        ("NOT $session.params.ready = true", false),
        ("not ($session.params.size = 1 or $session.params.size = 2) and true", true),
        ("$session.params.none = 3", false),
        ("$session.params.none != 3", true),
        ("$session.params.fruit = null", false),
        ("$sys.func.COUNT($session.params.orders) = 2", true),
        ("$session.params.size = $sys.func.ADD(1, 2)", true),
        ("$session.params.trick = $session.params.fruit", false),
        ("false", false),
    ] {
        let text = format!("$sys.func.IF({}, true, false)", json!(condition));
        assert_eq!(evaluate(&text), Ok(json!(holds)), "{condition}");
    }
    for (condition, says) in [
        ("", "begins with a reference"),
        ("3 = 3", "begins with a reference"),
        ("$session.params.a", "is expected"),
        ("$session.params.a =", "missing"),
        ("$session.params.a = 1 AND $session.params.b = 2 OR true", "need parentheses"),
        ("($session.params.a = 1", "`)` is missing"),
        ("$session.params.a = 1 2", "the end is expected"),
        ("$sesion.params.a = 1", "did you mean `$session.`"),
    ] {
        let error = Call::parse(&format!("$sys.func.IF({}, 1, 2)", json!(condition))).expect_err(condition);
        assert!(error.detail.contains(says) && error.detail.contains("character"), "{condition}: {}", error.detail);
    }
}

#[test]
fn what_can_be_seen_to_be_wrong_is_refused_where_it_stands() {
    refused(&[
        ("AD(1)", 0, "did you mean `ADD`?"),
        ("add(1)", 0, "did you mean `ADD`?"),
        ("HTTP()", 0, "there are ADD, MINUS"),
        ("NOW", 3, "follow in parentheses"),
        ("NOW(1)", 0, "takes 0 arguments, not 1"),
        ("ADD()", 0, "takes at least 1 argument, not 0"),
        ("MINUS(1)", 0, "takes 2 arguments, not 1"),
        ("DIVIDE(1, 2, 3, 4)", 0, "takes 2 to 3 arguments, not 4"),
        (r#"ADD(1, "2")"#, 7, "argument 2 of `ADD` is not a number"),
        ("ADD(1, $sys.func.NOW())", 7, "argument 2 of `ADD` is not a number"),
        ("LEN($sys.func.COUNT([]))", 4, "is not a text"),
        ("UPPER(true)", 6, "is not a text"),
        ("COUNT(\"a\")", 6, "is not a list"),
        ("GET([1], -1)", 9, "a whole number from 0 on"),
        ("DIVIDE(1, 0)", 0, "by zero"),
        ("CONTAIN(1, 2)", 0, "is a list"),
        (r#"ADD_DATE("1st of May", 1, "DAYS")"#, 9, "is not a date"),
        (r#"ADD_DATE("2026-01-01", 1, "MOONS")"#, 26, "a unit: SECONDS"),
        (r#"FORMAT_DATE("2026-01-01", "qq")"#, 26, "a pattern"),
        (r#"FORMAT_DATE("2026-01-01", "dd", "tlh")"#, 32, "languages"),
        (r#"FILTER($session.params.x, "x[")"#, 26, ""),
        ("FILTER($session.params.x, $session.params.y)", 26, "a JSONPath in quotes"),
        (r#"FILTER("x", "$")"#, 7, "here stands a reference"),
        ("ADD(1, $sesion.params.x)", 7, "did you mean `$session.`?"),
        ("ADD(1, $sys.func.AD(2))", 17, "did you mean `ADD`?"),
        ("ADD(1 2)", 6, "`,` or `)` is missing"),
        ("ADD(1,)", 6, "an argument is"),
        ("ADD(1", 5, "`,` or `)` is missing"),
        ("ADD(01)", 4, "no number"),
        ("LEN('a')", 4, "double quotes"),
        ("LEN(\"a)", 4, "no closing quote"),
        (r#"LEN("\x")"#, 4, "backslashes"),
    ]);
    assert!(Call::parse("$sys.fun.ADD(1)").unwrap_err().detail.contains("`$sys.func.NAME(...)`"));
    let deep = format!("{}1{}", "$sys.func.ADD(".repeat(40), ")".repeat(40));
    assert!(Call::parse(&deep).unwrap_err().detail.contains("at most 32 deep"));
    let wide = format!("$sys.func.ADD({})", vec!["1"; ARGUMENTS_MAX + 1].join(","));
    assert!(Call::parse(&wide).unwrap_err().detail.contains("at most 100"));
}

#[test]
fn a_failure_names_the_innermost_function_and_shows_no_value() {
    let failure = evaluate(r#"$sys.func.CONCATENATE("x", $sys.func.ADD(1, $session.params.fruit))"#).unwrap_err();
    assert_eq!(failure.to_string(), "`$sys.func.ADD` gives nothing: argument 2 is not a number");
    assert!(!failure.to_string().contains("apple"));
}

#[test]
fn functions_cannot_fill_the_memory() {
    let parameters: Parameters = serde_json::from_value(json!({"long": "a".repeat(100_000), "list": vec![1; 200_000]})).unwrap();
    for text in [
        r#"$sys.func.SUBSTITUTE($session.params.long, "a", $session.params.long)"#.to_owned(),
        "$sys.func.JOIN($session.params.long, $session.params.list)".to_owned(),
        format!("$sys.func.CONCATENATE({})", vec!["$session.params.long"; 90].join(",")),
        format!("$sys.func.APPEND({})", vec!["$session.params.list"; 90].join(",")),
    ] {
        let failure = Call::parse(&text).unwrap().value(&Scope::of(&parameters), &mut Expansion::default()).unwrap_err();
        assert!(failure.to_string().contains("too large"), "{failure}");
    }
}

#[test]
fn every_draw_of_an_expansion_is_another_and_the_seed_decides_them() {
    let parameters = Parameters::default();
    let expand = |seed| {
        let scope = Scope { ambient: Ambient { now: Timestamp::default(), seed }, ..Scope::of(&parameters) };
        Template::parse("$sys.func.UUID() $sys.func.UUID()").unwrap().expand_text(&scope, &mut Expansion::default())
    };
    let first = expand([1; 32]);
    let (one, other) = first.split_once(' ').unwrap();
    assert_ne!(one, other);
    assert_eq!(first, expand([1; 32]));
    assert_ne!(first, expand([2; 32]));
}

/// Text that is nearly a function.
fn nearly() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        prop::sample::select(table::names().collect::<Vec<_>>()).prop_map(|name| format!("{PREFIX}{name}(")),
        prop::sample::select(vec![
            ")",
            ",",
            "[",
            "]",
            "\"",
            "\\",
            "$",
            "true",
            "-1",
            "2.5e3",
            "$session.params.size",
            "$session.params.list[0]",
            "$event.data.",
            " ",
            "\"2026-03-01\"",
            "\"DAYS\"",
            "\"$session.params.size = 3 AND (\"",
            "\"yyyy-'",
            "é",
            "\"$[?@.x]\"",
            "NOT ",
        ])
        .prop_map(str::to_owned),
        any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(piece, 0..16).prop_map(|pieces| pieces.concat())
}

/// Values of every shape.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        Just(json!("2026-03-01T12:00:00+02:00")),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map("[a-z]{1,6}", inner, 0..6).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in nearly()) {
        let parameters = parameters();
        for text in [text.clone(), format!("{PREFIX}IF({}, 1, 2)", json!(text)), format!("{PREFIX}FORMAT_DATE(\"2026-03-01\", {})", json!(text))] {
            if let Ok(template) = Template::parse(&text) {
                prop_assert_eq!(template.source(), text);
                template.expand_value(&Scope::of(&parameters), &mut Expansion::default());
            }
        }
    }

    #[test]
    fn no_values_make_a_function_panic(one in value(), two in value(), three in value()) {
        let parameters: Parameters = serde_json::from_value(json!({"one": one, "two": two, "three": three})).unwrap();
        let arguments = ["$session.params.one", "$session.params.two", "$session.params.three"];
        for name in table::names() {
            for count in 0..=3 {
                if let Ok(call) = Call::parse(&format!("{PREFIX}{name}({})", arguments[..count].join(", "))) {
                    let _ = call.value(&Scope::of(&parameters), &mut Expansion::default());
                }
            }
        }
    }

    #[test]
    fn a_value_passes_through_a_function_as_it_is(value in value()) {
        let parameters: Parameters = serde_json::from_value(json!({"x": value})).unwrap();
        let passed = Call::parse("$sys.func.IDENTITY($session.params.x)").unwrap().value(&Scope::of(&parameters), &mut Expansion::default());
        prop_assert_eq!(passed, Ok(parameters.get("x").cloned().unwrap_or_default()));
    }
}
