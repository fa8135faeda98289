use std::{cmp::Ordering, collections::HashSet};

use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::*;

fn read(text: &str) -> Json {
    Json::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn number(text: &str) -> Number {
    Number::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn refused(text: &str) -> String {
    Json::parse(text.as_bytes()).expect_err(text).to_string()
}

const NUMBERS: [&str; 14] = [
    "0",
    "-0",
    "1.10",
    "1e3",
    "1E+3",
    "1e400",
    "-1e-400",
    "1000000000000000000001",
    "-9223372036854775809",
    "9223372036854775808",
    "18446744073709551616",
    "123456789012345678901234567890.000",
    "0.12345678901234567890",
    "1e999999999999999999999",
];

#[test]
fn a_document_comes_out_with_the_text_of_every_number_and_its_members_in_order() {
    let numbers = format!("[{}]", NUMBERS.join(","));
    assert_eq!(read(&numbers).to_string(), numbers);
    let text = r#"{"z":1.0,"a":{"b":[true,false,null,"\n\u0001é😀",{}]},"m":[]}"#;
    assert_eq!(read(text).to_string(), text);
    assert_eq!(read(" { \"a\" : [ 1 , 2 ] } \r\n").to_string(), r#"{"a":[1,2]}"#);
}

#[test]
fn the_last_of_several_members_of_one_name_counts_at_the_place_of_the_first() {
    let text = r#"{"a":1,"b":2,"a":3.0}"#;
    assert_eq!(read(text).to_string(), r#"{"a":3.0,"b":2}"#);
    assert_eq!(serde_json::from_str::<Value>(text).unwrap().to_string(), r#"{"a":3.0,"b":2}"#);
}

#[test]
fn numbers_are_compared_as_decimals() {
    let equal = [
        &["1", "1.0", "1e0", "10e-1", "0.1e1", "1E+0", "0.001e+003"][..],
        &["0", "-0", "0.0", "-0e99", "0e-5"],
        &["1e400", "10e399", "0.1e401"],
        &["123456789012345678901234567890", "1234567890123456789012345678.90e2"],
        &["1e1000000000000000000", "10e999999999999999999", "0.01e1000000000000000002"],
        &["1e-1000000000000000000", "0.1e-999999999999999999"],
    ];
    for same in equal {
        for (ours, theirs) in same.iter().flat_map(|ours| same.iter().map(move |theirs| (ours, theirs))) {
            assert_eq!(number(ours), number(theirs), "{ours} {theirs}");
            assert_eq!(number(ours).canonical(), number(theirs).canonical());
        }
    }
    let ascending = [
        "-1e99999999999999999999999",
        "-1e999999999",
        "-1000000000000000000001",
        "-9223372036854775809",
        "-9223372036854775808",
        "-1.5",
        "-1",
        "-1e-5",
        "-1e-99999999999999999999999",
        "0",
        "1e-99999999999999999999999",
        "1e-400",
        "0.1",
        "0.1000000000000000055",
        "1",
        "1.0000000000000000000000001",
        "9007199254740992",
        "9007199254740993",
        "18446744073709551615",
        "18446744073709551616",
        "1e999999999",
        "1e1000000000000000000",
        "1e99999999999999999999999",
    ];
    for (at, smaller) in ascending.iter().enumerate() {
        for larger in &ascending[at + 1..] {
            assert_eq!(number(smaller).cmp(&number(larger)), Ordering::Less, "{smaller} {larger}");
            assert_eq!(number(larger).cmp(&number(smaller)), Ordering::Greater, "{larger} {smaller}");
        }
    }
    let distinct: HashSet<Json> = equal.iter().flat_map(|same| same.iter().map(|text| read(text))).collect();
    assert_eq!(distinct.len(), equal.len());
    assert_eq!(read(r#"{"a":1,"b":[2.0]}"#), read(r#"{"b":[2],"a":1e0}"#));
}

#[test]
fn one_canonical_text_stands_for_all_numbers_that_are_equal() {
    for (text, canonical) in [
        ("-0.0", "0"),
        ("1.10", "1.1"),
        ("1e3", "1000"),
        ("89014103211118510720", "8.901410321111851072e+19"),
        ("18446744073709551615.0", "18446744073709551615"),
        ("-9223372036854775809", "-9.223372036854775809e+18"),
        ("1e400", "1e+400"),
        ("123456789012345678901234567890", "1.2345678901234567890123456789e+29"),
        ("1e-0007", "1e-7"),
        ("1.5e99999999999999999999", "1.5e+99999999999999999999"),
        ("0.1e-99999999999999999999", "1e-100000000000000000000"),
    ] {
        assert_eq!(number(text).canonical(), canonical, "{text}");
        assert_eq!(number(canonical), number(text));
    }
}

#[test]
fn a_number_says_what_it_is_in_64_bits_where_it_is_that_exactly() {
    let whole = |text: &str| (number(text).as_i64(), number(text).as_u64());
    assert_eq!(whole("-1.50e1"), (Some(-15), None));
    assert_eq!(whole("9223372036854775808"), (None, Some(1 << 63)));
    assert_eq!(whole("18446744073709551616"), (None, None));
    assert_eq!(whole("1e19"), (None, Some(10_000_000_000_000_000_000)));
    assert_eq!(whole("0.5"), (None, None));
    assert_eq!(number("1e400").nearest_f64(), None);
    assert_eq!(number("1e-400").nearest_f64(), Some(0.0));
    for (text, exact) in [
        ("1.10", Some(1.1)),
        ("1e3", Some(1000.0)),
        ("9007199254740993", None),
        ("9007199254740992", Some(9_007_199_254_740_992.0)),
        ("0.1000000000000000055511151231257827", None),
        ("1e-400", None),
        ("1e400", None),
        ("-0", Some(0.0)),
    ] {
        assert_eq!(number(text).exact_f64(), exact, "{text}");
    }
}

#[test]
fn numbers_of_a_thousand_characters_are_taken_and_longer_ones_refused() {
    let longest = "7".repeat(NUMBER_CHARS_MAX);
    assert_eq!(read(&longest).to_string(), longest);
    let longer = format!("[1,\n {longest}0]");
    assert_eq!(refused(&longer), "a number has at most 1000 characters at line 2 column 2");
    assert_eq!(Number::parse(&format!("{longest}0")).unwrap_err(), NumberError::TooLong);
}

#[test]
fn a_power_of_any_size_costs_no_more_than_its_text() {
    // If the cost grew with the exponent, this would never end.
    let huge = number(&format!("1e{}", "9".repeat(NUMBER_CHARS_MAX - 2)));
    let tiny = number(&format!("1e-{}", "9".repeat(NUMBER_CHARS_MAX - 3)));
    for _ in 0..1000 {
        assert!(huge > number("1e999999999") && tiny < number("1e-999999999") && tiny > number("0"));
        assert_eq!((huge.as_i64(), huge.exact_f64(), tiny.exact_f64()), (None, None, None));
    }
    assert!(huge.canonical().len() <= NUMBER_CHARS_MAX + 1);
}

#[test]
fn what_is_no_json_is_refused_with_its_place() {
    for (text, error) in [
        ("", "the text ends where a value is expected at line 1 column 1"),
        ("{\"a\":1,\n  }", "trailing comma at line 2 column 3"),
        ("[1 2]", "expected `,` or `]` at line 1 column 4"),
        ("[1", "the text ends where `,` or `]` is expected at line 1 column 3"),
        ("{\"é\" 1}", "expected `:` at line 1 column 6"),
        ("{a:1}", "a member's name is expected, in double quotes at line 1 column 2"),
        ("nul", "expected value at line 1 column 1"),
        ("1 2", "trailing characters: one JSON value is expected at line 1 column 3"),
        ("01", "invalid number at line 1 column 1"),
        ("[-]", "invalid number at line 1 column 2"),
        ("\"\\x\"", "invalid escape at line 1 column 2"),
        ("\"abc", "the text ends inside a string at line 1 column 5"),
        ("\"a\nb\"", "a control character in a string is written `\\n`, `\\t` or `\\u00..` at line 1 column 3"),
        (r#""\ud800""#, "`\\ud800` is half of a pair of surrogates and no character at line 1 column 2"),
        (r#"["\ud83dx"]"#, "`\\ud83d` is half of a pair of surrogates and no character at line 1 column 3"),
        (r#""\udc00\ud800""#, "`\\udc00` is half of a pair of surrogates and no character at line 1 column 2"),
        (r#""\ud800\u0041""#, "`\\ud800` is half of a pair of surrogates and no character at line 1 column 2"),
        (r#""\u12""#, "`\\u` has four hexadecimal digits at line 1 column 2"),
    ] {
        assert_eq!(refused(text), error, "{text}");
    }
    assert_eq!(Json::parse(b"[\"\xff\"]").unwrap_err().to_string(), "invalid UTF-8 at line 1 column 3");
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(Json::parse(deep(JSON_DEPTH_MAX).as_bytes()).is_ok());
    assert_eq!(refused(&deep(1_000_000)), "lists and objects are nested more than 128 deep at line 1 column 129");
}

#[derive(Debug, Serialize, Deserialize, PartialEq)]
struct Row {
    name: String,
    data: Json,
    #[serde(default)]
    parameters: Object,
}

#[derive(Serialize)]
struct View {
    #[serde(flatten)]
    row: Row,
    more: Option<Json>,
}

#[test]
fn a_document_that_serde_reads_and_writes_keeps_every_number() {
    let text = format!(r#"{{"name":"a","data":[{0}],"parameters":{{"n":[{0}]}}}}"#, NUMBERS.join(","));
    let row: Row = serde_json::from_str(&text).unwrap();
    assert_eq!(serde_json::to_string(&row).unwrap(), text);
    assert_eq!(serde_json::from_slice::<Row>(text.as_bytes()).unwrap(), row);
    assert_eq!(json_of(&row).to_string(), text);
    let view = View { row, more: Some(read("1.0")) };
    let flat = format!(r#"{},"more":1.0}}"#, text.strip_suffix('}').unwrap());
    assert_eq!(serde_json::to_string(&view).unwrap(), flat);
    assert_eq!(json_of(&view).to_string(), flat);
}

#[test]
fn a_document_in_a_value_of_serde_json_is_read_and_written_as_far_as_that_holds_it() {
    let value = json!({"name": "a", "data": {"n": [1.5, -3, u64::MAX, null, "x"]}, "parameters": {"$serde_json::private::RawValue": "[1"}});
    let row: Row = serde_json::from_value(value.clone()).unwrap();
    assert_eq!(serde_json::to_value(&row).unwrap(), value);
    assert_eq!((json_of(&row), json_of(&row).to_value()), (Json::from(&value), value));
    let numbers = read(&format!("[{}]", NUMBERS.join(",")));
    assert_eq!(numbers.to_value()[5], json!(f64::MAX));
    assert_eq!(numbers.to_value()[7], json!(1e21));
    // Under `flatten` and in untagged enums serde has doubles before we are asked.
    #[derive(Deserialize)]
    struct Flat {
        #[serde(flatten)]
        row: Row,
    }
    let flat: Flat = serde_json::from_str(r#"{"name":"a","data":{"a":[1.10,{}]}}"#).unwrap();
    assert_eq!(flat.row.data.to_string(), r#"{"a":[1.1,{}]}"#);
}

#[test]
fn what_is_wrong_in_a_member_of_a_document_is_said_there() {
    let error = |text: &str| serde_json::from_str::<Row>(text).unwrap_err().to_string();
    assert!(
        error(r#"{"name":"a","data":"\ud800"}"#).contains("half of a pair of surrogates"),
        "{}",
        error(r#"{"name":"a","data":"\ud800"}"#)
    );
    assert!(error(r#"{"name":"a","data":1,"parameters":[1]}"#).starts_with("invalid type: sequence, expected an object"));
    assert!(error(&format!(r#"{{"name":"a","data":{}}}"#, "7".repeat(1001))).starts_with("a number has at most 1000 characters"));
    assert!(error(&format!(r#"{{"name":"a","data":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000))).contains("128 deep"));
}

#[test]
fn a_value_takes_32_bytes_besides_what_it_holds() {
    assert_eq!(size_of::<Json>(), 32);
}

#[test]
fn members_are_found_by_name_place_and_pointer() {
    let document = read(r#"{"a":[{"b/c":1,"~":2},7]}"#);
    assert_eq!(document["a"][0]["b/c"], json!(1));
    assert_eq!(document.pointer("/a/0/b~1c").and_then(Json::as_i64), Some(1));
    assert_eq!(document.pointer("/a/0/~0").and_then(Json::as_u64), Some(2));
    assert_eq!(document.pointer("/a/01"), None);
    assert!(document["none"][3].is_null());
}

fn number_text() -> impl Strategy<Value = String> {
    prop_oneof![
        r"-?(0|[1-9][0-9]{0,40})(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,4})?",
        r"-?(0|[1-9][0-9]{0,400})(\.[0-9]{1,300})?([eE][+-]?[0-9]{1,200})?",
        any::<i64>().prop_map(|whole| whole.to_string()),
        any::<f64>().prop_filter("finite", |double| double.is_finite()).prop_map(|double| json!(double).to_string()),
    ]
}

/// JSON text without white space, every name once.
fn text() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        number_text(),
        ".{0,12}".prop_map(|text| Value::String(text).to_string()),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::btree_map(".{0,8}", inner, 0..6).prop_map(|members| {
                let members: Vec<_> = members.iter().map(|(name, value)| format!("{}:{value}", Value::String(name.clone()))).collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

/// The same number, written otherwise.
fn rewritten(text: &str, zeros: usize, shift: i64) -> String {
    let (sign, rest) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
    let (mantissa, power) = rest.split_once(['e', 'E']).unwrap_or((rest, "0"));
    let (whole, decimals) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let power: i64 = power.parse().unwrap();
    let (digits, places) = (format!("{whole}{decimals}"), i64::try_from(decimals.len()).unwrap());
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() {
        return format!("{sign}0.{}", "0".repeat(zeros + 1));
    }
    let at = power - places - i64::try_from(zeros).unwrap();
    if shift % 2 == 0 {
        format!("{sign}{digits}{}e{at}", "0".repeat(zeros))
    } else {
        format!("{sign}0.{digits}{}E{:+}", "0".repeat(zeros), at + i64::try_from(digits.len() + zeros).unwrap())
    }
}

proptest! {
    #[test]
    fn every_document_comes_out_as_it_went_in(text in text()) {
        let value = read(&text);
        prop_assert_eq!(value.to_string(), text.as_str());
        prop_assert_eq!(json_of(&value).to_string(), text.as_str());
        prop_assert_eq!(serde_json::from_str::<Json>(&text).unwrap().to_string(), text.as_str());
        prop_assert_eq!(read(&text), value);
    }

    #[test]
    fn what_serde_json_can_hold_is_the_same_there(text in text()) {
        if let Ok(theirs) = serde_json::from_str::<Value>(&text) {
            let ours = read(&text);
            prop_assert_eq!(ours.to_value(), theirs.clone());
            prop_assert_eq!(Json::from(&theirs).to_string(), theirs.to_string());
        }
    }

    #[test]
    fn whatever_comes_is_json_for_both_or_for_neither(text in r#"[\[\]{}:,"\\a-fu0-9eE+\-. \n]{0,24}"#) {
        let theirs = serde_json::from_str::<Value>(&text);
        match (Json::parse(text.as_bytes()), &theirs) {
            (Ok(ours), Ok(theirs)) => prop_assert_eq!(&ours.to_value(), theirs),
            (Ok(_), Err(error)) => prop_assert!(error.to_string().starts_with("number out of range"), "{text}: {error}"),
            (Err(error), theirs) => prop_assert!(theirs.is_err(), "{text}: {error}"),
        }
    }

    #[test]
    fn doubles_have_the_canonical_text_that_serde_json_writes(double in any::<f64>()) {
        prop_assume!(double.is_finite() && double != 0.0);
        let text = json!(double).to_string();
        let canonical = number(&text).canonical();
        match number(&text).as_i64().map(|whole| whole.to_string()).or_else(|| number(&text).as_u64().map(|whole| whole.to_string())) {
            Some(whole) => prop_assert_eq!(canonical, whole),
            None => prop_assert_eq!(canonical, text),
        }
    }

    #[test]
    fn a_number_is_equal_to_itself_written_otherwise(
        text in r"-?(0|[1-9][0-9]{0,40})(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,17})?", zeros in 0usize..9, shift in 0i64..2,
    ) {
        let (ours, other) = (number(&text), number(&rewritten(&text, zeros, shift)));
        prop_assert_eq!(&ours, &other);
        prop_assert_eq!(ours.canonical(), other.canonical());
        prop_assert_eq!(number(&ours.canonical()), ours);
    }

    #[test]
    fn whole_numbers_are_ordered_as_128_bits_are(ours in any::<i64>(), theirs in any::<i64>(), wide in any::<i64>()) {
        let (left, right) = (i128::from(ours) * i128::from(wide), i128::from(theirs) * i128::from(wide));
        prop_assert_eq!(number(&left.to_string()).cmp(&number(&right.to_string())), left.cmp(&right));
    }
}
