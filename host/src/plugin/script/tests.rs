//! What scripts become, and what of them is refused.

use super::*;

fn parsed(source: &str) -> Script {
    parse_script(source, ScriptLanguage::JavaScript).expect("a good script")
}

fn refused(source: &str) -> String {
    parse_script(source, ScriptLanguage::JavaScript).expect_err("a bad script").to_string()
}

#[test]
fn exports_are_blanked_and_everything_stays_in_its_place() {
    let script = parsed("// é\nexport function transform(d, e) {\n  return null;\n}\nexport const receive = (call) => \"export x\";\n");
    assert_eq!(script.exports, [ScriptExport::Transform, ScriptExport::Receive]);
    assert_eq!(
        script.source_for_engine,
        "\"use strict\";// é\n       function transform(d, e) {\n  return null;\n}\n       const receive = (call) => \"export x\";\n\n;({transform: transform, receive: receive})"
    );
}

#[test]
fn export_lists_are_blanked_with_a_semicolon_and_renamed() {
    let script = parsed("const f = () => 1\nexport {\n  f as answers, // ü\n  f as other,\n}\n(f)()");
    assert_eq!(script.exports, [ScriptExport::Answers]);
    assert_eq!(
        script.source_for_engine,
        "\"use strict\";const f = () => 1\n;       \n                    \n             \n \n(f)()\n;({answers: f})"
    );
}

#[test]
fn an_export_list_may_stand_before_what_it_names_and_helpers_may_be_exported() {
    let script = parsed("export { go as receive };\nfunction go() {}\nexport function helper() {}\nexport class Thing {}");
    assert_eq!(script.exports, [ScriptExport::Receive]);
    assert!(script.source_for_engine.ends_with("\n;({receive: go})"));
    assert_eq!(parsed("export const { transform, receive } = make();\nfunction make() { return {} }").exports.len(), 2);
}

#[test]
fn a_byte_order_mark_and_a_hashbang_are_blanked() {
    let script = parsed("\u{feff}#!/usr/bin/env node\nexport function receive() {}");
    assert!(script.source_for_engine.starts_with(&format!("{PREFIX}{}\n       function receive", " ".repeat(19))));
}

#[test]
fn syntax_errors_have_their_line_and_column() {
    assert_eq!(refused("export function transform(d) {\n  const a = ;\n}"), "line 2, column 13: Unexpected token `;`");
    assert_eq!(refused("function f() {\n"), "line 2, column 1: Expected `}` but found `EOF`");
    assert_eq!(refused("const é = ;"), "line 1, column 11: Unexpected token `;`");
    assert!(refused("export const transform = (d: Delivery) => 1").starts_with("line 1, column 28: "));
    assert!(refused("const x = 1; return x").starts_with("line 1, column 14: A 'return' statement"));
}

#[test]
fn await_at_the_top_level_is_refused_at_its_place() {
    let refusal = refused("const a = await go();\nexport function transform() {}");
    assert!(refusal.starts_with("line 1, column 11: `await` is only allowed"), "{refusal}");
}

#[test]
fn imports_are_refused_at_their_place() {
    assert!(refused("\nimport x from 'y';\nexport function transform() {}").starts_with("line 2, column 1: a script is one file"));
    assert!(refused("export function transform() {\n  return import('y');\n}").starts_with("line 2, column 10: a script is one file"));
    assert!(refused("export { transform } from 'y'").starts_with("line 1, column 1: a script is one file"));
    assert!(refused("export * from 'y'").starts_with("line 1, column 1: a script is one file"));
    assert!(refused("export const transform = () => import.meta.url").contains("column 32: a script has no `import.meta`"));
}

#[test]
fn functions_that_cannot_be_called_are_refused() {
    assert!(refused("export async function transform() {}").starts_with("line 1, column 23: `transform` cannot be async"));
    assert!(refused("export const receive = async () => 1").starts_with("line 1, column 14: `receive` cannot be async"));
    assert!(refused("async function go() {}\nexport { go as receive }").starts_with("line 2, column 10: `receive` cannot be async"));
    assert!(refused("export function* answers() {}").contains("cannot be a generator"));
    assert!(refused("export class transform {}").contains("must be a function"));
    assert!(refused("export { transform }").contains("not declared"));
    assert!(refused("export default function transform() {}").starts_with("line 1, column 1: `export default` has no name"));
}

#[test]
fn a_script_without_a_known_export_is_told_the_three_names() {
    let refusal = refused("export function recieve() {}");
    assert!(refusal.starts_with("the script exports none of `transform`, `answers` and `receive` (only `recieve`); "), "{refusal}");
    assert_eq!(parse_script("", ScriptLanguage::JavaScript).expect_err("nothing in it"), ScriptError::NoExport { others: vec![] });
    assert_eq!(parse_script("", ScriptLanguage::JavaScript).expect_err("nothing in it").position(), None);
}

#[test]
fn deep_nesting_is_refused_not_an_overflow() {
    assert!(refused(&"[".repeat(100_000)).contains("brackets nest deeper"));
    for unit in ["!", "a=>", "x=", "a?", "a:", "-", "new ", "if(a)", "a**", "async()=>", "class A extends "] {
        assert!(parse_script(&unit.repeat(100_000), ScriptLanguage::JavaScript).is_err());
    }
}

fn types(source: &str) -> Result<String, String> {
    parse_script(&format!("{source}\nexport const transform = () => null"), ScriptLanguage::TypeScript)
        .map(|script| {
            let text = script.source_for_engine;
            text[PREFIX.len()..].split("\n       const transform").next().expect("a part").to_owned()
        })
        .map_err(|error| error.to_string())
}

#[test]
fn types_become_spaces_and_everything_else_stays_in_its_place() {
    for (typed, plain) in [
        ("const a: number = 1;", "const a         = 1;"),
        ("let a!: string; a = x as any;", "let a         ; a = x       ;"),
        ("f<T>(x); new Map<string, number>(); tag<X>`t`;", "f   (x); new Map                (); tag   `t`;"),
        ("const b = x satisfies Y; const c = x!.y!;", "const b = x            ; const c = x .y ;"),
        ("const d = <number>x;", "const d =         x;"),
        ("interface A { x: string }\nlet y", ";                        \nlet y"),
        ("type A<T> = T extends infer U ? U : never;\nlet y", ";                                         \nlet y"),
        ("export type B = 1;\nexport interface C {}\nlet y", ";                 \n;                    \nlet y"),
        ("import type { Delivery } from './hookwright';\nlet y", ";                                            \nlet y"),
        ("declare const z: number;\ndeclare function g(): void;\nlet y", ";                       \n;                          \nlet y"),
        ("function f(this: X, a?: number, ...r: string[]): a is 1 { }", "function f(         a         , ...r          )         { }"),
        ("function o(a: 1): void;\nfunction o(a: any) { }", ";                      \nfunction o(a     ) { }"),
        ("const g = async <T,>(a: T): Promise<T> => a;", "const g = async     (a   )             => a;"),
        ("try { } catch (e: unknown) { }", "try { } catch (e         ) { }"),
        (
            "abstract class A<T> extends B<T> implements C, D { private readonly x?: T = 1; protected y!: 1; abstract z(): void; }",
            "         class A    extends B                    {                  x     = 1;           y    ; ;                   }",
        ),
        (
            "class E { [key: string]: any; public async m?(): Promise<void> { } declare q: 1 }",
            "class E { ;                          async m ()                { } ;            }",
        ),
        ("const p = class implements Q { };", "const p = class              { };"),
        ("const é = 'ü' as string;", "const é = 'ü'          ;"),
        ("const private_ = 1, h = a < b || c > d, i = a ? b : c;", "const private_ = 1, h = a < b || c > d, i = a ? b : c;"),
    ] {
        assert_eq!(types(typed).as_deref(), Ok(plain), "{typed}");
    }
}

#[test]
fn a_line_stays_a_line_also_within_a_type() {
    assert_eq!(types("const a: {\n  b: 1\n} = x as\n  any;").as_deref(), Ok("const a   \n      \n  = x   \n     ;"));
}

#[test]
fn what_is_code_although_it_looks_like_a_type_is_refused_with_what_to_write() {
    assert!(types("enum A { B }").is_err_and(|error| error.starts_with("line 1, column 1: an `enum` is code; write `const")));
    assert!(types("\nnamespace A { export const b = 1 }").is_err_and(|error| error.starts_with("line 2, column 1: a `namespace` is code")));
    assert!(types("class A { constructor(private x: 1) {} }").is_err_and(|error| error.contains("a parameter that is a field")));
    assert!(types("@a class A {}").is_err_and(|error| error.contains("decorators")));
    assert!(types("import x = require('y');").is_err_and(|error| error.contains("one file")));
    assert!(types("import { x } from 'y';").is_err_and(|error| error.contains("one file")));
    assert!(types("const a: = 1").is_err_and(|error| error.starts_with("line 1, column 10: ")), "{:?}", types("const a: = 1"));
    assert_eq!(types("declare enum A { B }\nlet y").as_deref(), Ok(";                   \nlet y"));
}

#[test]
fn an_export_may_have_types_and_a_list_may_name_some() {
    let source = "type A = 1;\nconst f = (d: Delivery, e: HookwrightEvent[]): Answer => null;\nexport { f as transform, type A };";
    let script = parse_script(source, ScriptLanguage::TypeScript).expect("a script");
    assert_eq!(script.exports, [ScriptExport::Transform]);
    assert!(parse_script("export async function transform(a: 1): Promise<void> {}", ScriptLanguage::TypeScript).is_err());
    assert!(parse_script("export function transform(a: 1): void;", ScriptLanguage::TypeScript).is_err());
}
