//! Scripts: plugins written as one JavaScript file, run by the script engine (`plugins/script-engine`).
//!
//! [`parse_script`] reads what an author wrote as an ES module, says exactly where it is wrong, finds what it exports and writes the
//! source the engine evaluates. Of TypeScript the types are blanked first (`types`). That source keeps every line and column, so that errors at run time are the author's own:
//!
//! * `"use strict";` stands before the first line, because modules are strict; the engine takes its 13 columns off again;
//! * `export` is blanked with as many spaces, an export list with a `;` and spaces;
//! * a last line of its own hands the functions over, as the value of the evaluation: `;({transform: transform})`.
//!
//! What only the evaluation can tell (a name declared twice, an error thrown at the top level, a part of the language the engine does
//! not know) is found by the engine's `hookwright:script/script.load`, to be called once at upload.

use std::collections::HashMap;
use std::fmt;

use oxc_allocator::Allocator;
use oxc_ast::ast::{Declaration, ExportSpecifier, Expression, Function, Statement, VariableDeclaration};
use oxc_parser::Parser;
use oxc_span::{GetSpan, SourceType, Span};
use serde::{Deserialize, Serialize};

use crate::model::plugin::{Digest, PluginKind};

mod types;

/// Put before the first line. The engine knows its length.
const PREFIX: &str = "\"use strict\";";

/// Brackets nested deeper than this are refused. People's own scripts stay below 50; the parser recurses on every level.
const NESTING_MAX: usize = 1000;

/// Stack of the parsing thread: this much, and `STACK_PER_BYTE` for each byte of source up to `STACK_MAX`. The parser is recursive and an
/// overflow ends the process, which is therefore a child of the host's (`compile`). Brackets take up to 3.7 kB a level; what nests without
/// them (`a=>a=>`, `x=x=`, `a?a?`) 510 bytes per byte of source in an optimised build. Memory is only taken for the depth a source really has.
const STACK: usize = 32 << 20;
/// See [`STACK`].
const STACK_PER_BYTE: usize = 1024;
/// See [`STACK`]: a depth of a hundred thousand, where people's own scripts stay below 50.
const STACK_MAX: usize = 128 << 20;

/// Part of the names of scripts among the artifacts, to be counted up when the same script should be read otherwise.
const FORMAT: &str = "1";

/// The name under which what a script is to the engine is kept among the artifacts.
pub(super) fn digest(script: &Digest, language: ScriptLanguage) -> Digest {
    Digest::of(format!("script read {FORMAT} {} {} {script}", env!("CARGO_PKG_VERSION"), language.name()).as_bytes())
}

/// A function the host may call in a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScriptExport {
    /// `transform(delivery, events)`: builds a request.
    Transform,
    /// `answers(delivery, answer)`: reads a 2xx answer.
    Answers,
    /// `receive(call)`: answers a call.
    Receive,
}

impl ScriptExport {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Transform, Self::Answers, Self::Receive];

    /// The name a script exports it by; also the name of the interface in `hookwright:plugin`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Transform => "transform",
            Self::Answers => "answers",
            Self::Receive => "receive",
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|export| export.name() == name)
    }
}

impl fmt::Display for ScriptExport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a script is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "lower")]
pub enum ScriptLanguage {
    /// As the engine evaluates it.
    JavaScript,
    /// With types, which are blanked. Only what can be erased: no enum, no namespace with code in it, no parameter property.
    TypeScript,
}

impl ScriptLanguage {
    /// Both.
    pub const ALL: [Self; 2] = [Self::JavaScript, Self::TypeScript];

    /// What the child process calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::JavaScript => "javascript",
            Self::TypeScript => "typescript",
        }
    }

    /// The language of a kind of plugin that is a script.
    pub fn of(kind: PluginKind) -> Option<Self> {
        match kind {
            PluginKind::Wasm => None,
            PluginKind::Script => Some(Self::JavaScript),
            PluginKind::TypeScript => Some(Self::TypeScript),
        }
    }

    fn source_type(self) -> SourceType {
        match self {
            Self::JavaScript => SourceType::mjs(),
            Self::TypeScript => SourceType::ts().with_module(true),
        }
    }
}

/// A script the engine can evaluate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Script {
    /// What `hookwright:script/host.source` returns. Not for people: show them what they wrote.
    pub source_for_engine: String,
    /// What the script exports, in the order of [`ScriptExport::ALL`]; never empty.
    pub exports: Vec<ScriptExport>,
}

/// A place in a script. Both numbers begin at 1; columns are characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The character in the line.
    pub column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// Why a script was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum ScriptError {
    /// It is not JavaScript.
    #[error("{at}: {message}")]
    Syntax {
        /// Where reading it stopped.
        at: Position,
        /// What was expected.
        message: String,
    },
    /// It is JavaScript that a script cannot use.
    #[error("{at}: {reason}")]
    Unsupported {
        /// Where it stands.
        at: Position,
        /// What it is, and what to write instead.
        reason: String,
    },
    /// It exports nothing the host would call.
    #[error(
        "the script exports none of `transform`, `answers` and `receive`{}; write for example `export function transform(delivery, events) {{ ... }}`",
        exported(.others)
    )]
    NoExport {
        /// What it exports instead.
        others: Vec<String>,
    },
    /// It nests deeper than the parser can follow.
    #[error("the script nests too deeply to be read")]
    TooDeep,
    /// Reading it was not possible at all.
    #[error("the script could not be read: {0}")]
    Unreadable(String),
}

impl ScriptError {
    /// Where in the script, if the error has a place.
    pub fn position(&self) -> Option<Position> {
        match self {
            Self::Syntax { at, .. } | Self::Unsupported { at, .. } => Some(*at),
            Self::NoExport { .. } | Self::TooDeep | Self::Unreadable(_) => None,
        }
    }
}

fn exported(others: &[String]) -> String {
    if others.is_empty() { String::new() } else { format!(" (only `{}`)", others.join("`, `")) }
}

/// Reads a script: what it exports, and the source for the engine.
///
/// The caller limits its size, and does this in a process that may end. Parsing runs on a thread of its own, for a stack deep enough, and takes about a millisecond per 50 kB.
pub fn parse_script(source: &str, language: ScriptLanguage) -> Result<Script, ScriptError> {
    let source = source.strip_prefix('\u{feff}').unwrap_or(source);
    refuse_deep_nesting(source)?;
    let stack = STACK.saturating_add(source.len().saturating_mul(STACK_PER_BYTE)).min(STACK_MAX);
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .name("script-parser".into())
            .stack_size(stack)
            .spawn_scoped(scope, || parse(source, language))
            .map_err(|e| ScriptError::Unreadable(e.to_string()))?
            .join()
            .map_err(|_| ScriptError::Unreadable("the parser failed".into()))?
    })
}

fn parse(source: &str, language: ScriptLanguage) -> Result<Script, ScriptError> {
    let allocator = Allocator::default();
    let parsed = Parser::new(&allocator, source, language.source_type()).parse();
    // First what is no part of a script although it may be JavaScript: "cannot use import" says more than what follows from it.
    if let Some(import) = parsed.module_record.dynamic_imports.first() {
        return Err(unsupported(source, import.span, "a script is one file and cannot `import`; paste the code you need"));
    }
    if let Some(meta) = parsed.module_record.import_metas.first() {
        return Err(unsupported(source, *meta, "a script has no `import.meta`"));
    }
    if let Some(error) = parsed.diagnostics.errors().next() {
        let label = error.labels.first().map_or(Span::new(0, 0), |label| label.span());
        return Err(syntax_error(source, label, 0, &error.message, error.help.as_deref()));
    }
    if parsed.panicked {
        return Err(ScriptError::Unreadable("the parser gave up".into()));
    }

    let mut reader = Reader { source, blanks: Vec::new(), locals: HashMap::new(), lists: Vec::new(), found: Vec::new() };
    if let Some(hashbang) = &parsed.program.hashbang {
        reader.blanks.push((hashbang.span, ' '));
    }
    if language == ScriptLanguage::TypeScript {
        let blanks = types::blanks(source, &parsed.program).map_err(|(span, reason)| unsupported(source, span, &reason))?;
        reader.blanks.extend(blanks);
    }
    for statement in &parsed.program.body {
        reader.read(statement)?;
    }
    let (exports, suffix) = reader.exports()?;
    let source_for_engine = format!("{PREFIX}{}{suffix}", reader.blanked());

    // The engine evaluates it as a script, not as a module: `await` at the top level, for one, is possible only in the latter.
    let allocator = Allocator::default();
    let again = Parser::new(&allocator, &source_for_engine, SourceType::script()).parse();
    if let Some(error) = again.diagnostics.errors().next() {
        let label = error.labels.first().map_or(Span::new(0, 0), |label| label.span());
        return Err(syntax_error(&source_for_engine, label, PREFIX.len(), &error.message, None));
    }
    if again.panicked {
        return Err(ScriptError::Unreadable("the parser gave up".into()));
    }
    Ok(Script { source_for_engine, exports })
}

/// What one reading of the top-level statements finds.
struct Reader<'s, 'a> {
    source: &'s str,
    /// Spans to blank, and the character to put first.
    blanks: Vec<(Span, char)>,
    /// What is declared at the top level, and whether it can be called.
    locals: HashMap<&'a str, Local>,
    /// The entries of `export { ... }`, looked up when everything is declared.
    lists: Vec<&'s ExportSpecifier<'a>>,
    /// Exported name, local name, place.
    found: Vec<(String, String, Span)>,
}

/// What a top-level name stands for, as far as reading tells.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Local {
    Callable,
    Async,
    Generator,
    Class,
    /// Only the evaluation can tell.
    Unknown,
}

impl<'s, 'a> Reader<'s, 'a> {
    fn read(&mut self, statement: &'s Statement<'a>) -> Result<(), ScriptError> {
        match statement {
            Statement::FunctionDeclaration(function) if function.body.is_some() => self.function(function),
            Statement::VariableDeclaration(variables) if !variables.declare => self.variables(variables),
            Statement::ClassDeclaration(class) => {
                if let Some(id) = &class.id {
                    self.locals.insert(id.name.as_str(), Local::Class);
                }
            }
            Statement::ExportDeclaration(export) if types::are_all(&export.declaration) => self.blanks.push((export.span, ';')),
            Statement::ExportNamedDeclaration(export) if export.export_kind.is_type() => self.blanks.push((export.span, ';')),
            Statement::ImportDeclaration(import) if import.import_kind.is_type() => self.blanks.push((import.span, ';')),
            Statement::ExportDeclaration(export) => {
                self.blanks.push((Span::new(export.span.start, export.span.start + 6), ' '));
                match &export.declaration {
                    Declaration::FunctionDeclaration(function) => {
                        self.function(function);
                        if let Some(id) = &function.id {
                            self.found.push((id.name.to_string(), id.name.to_string(), id.span));
                        }
                    }
                    Declaration::VariableDeclaration(variables) => {
                        self.variables(variables);
                        for declarator in &variables.declarations {
                            for id in declarator.id.get_binding_identifiers() {
                                self.found.push((id.name.to_string(), id.name.to_string(), id.span));
                            }
                        }
                    }
                    Declaration::ClassDeclaration(class) => {
                        if let Some(id) = &class.id {
                            self.locals.insert(id.name.as_str(), Local::Class);
                            self.found.push((id.name.to_string(), id.name.to_string(), id.span));
                        }
                    }
                    other => return Err(unsupported(self.source, other.span(), "a script cannot export that")),
                }
            }
            Statement::ExportNamedDeclaration(export) => {
                self.blanks.push((export.span, ';'));
                self.lists.extend(export.specifiers.iter().filter(|specifier| specifier.export_kind.is_value()));
            }
            Statement::ImportDeclaration(import) => {
                return Err(unsupported(self.source, import.span, "a script is one file and cannot `import`; paste the code you need"));
            }
            Statement::ExportFromDeclaration(_) | Statement::ExportAllDeclaration(_) => {
                return Err(unsupported(self.source, statement.span(), "a script is one file and cannot export from another"));
            }
            Statement::ExportDefaultDeclaration(export) => {
                let reason = "`export default` has no name to call; export by name, for example `export function transform(delivery, events) { ... }`";
                return Err(unsupported(self.source, export.span, reason));
            }
            _ => {}
        }
        Ok(())
    }

    fn function(&mut self, function: &'s Function<'a>) {
        if let Some(id) = &function.id {
            self.locals.insert(id.name.as_str(), local(function));
        }
    }

    fn variables(&mut self, variables: &'s VariableDeclaration<'a>) {
        for declarator in &variables.declarations {
            let kind = match &declarator.init {
                Some(Expression::ArrowFunctionExpression(arrow)) if arrow.r#async => Local::Async,
                Some(Expression::ArrowFunctionExpression(_)) => Local::Callable,
                Some(Expression::FunctionExpression(function)) => local(function),
                Some(Expression::ClassExpression(_)) => Local::Class,
                _ => Local::Unknown,
            };
            for id in declarator.id.get_binding_identifiers() {
                self.locals.insert(id.name.as_str(), kind);
            }
        }
    }

    /// The known exports, and the line that hands them to the engine.
    fn exports(&mut self) -> Result<(Vec<ScriptExport>, String), ScriptError> {
        for specifier in &self.lists {
            self.found.push((specifier.exported.name().to_string(), specifier.local.name().to_string(), specifier.span));
        }
        let mut known: Vec<(ScriptExport, &str)> = Vec::new();
        for (name, local, span) in &self.found {
            let Some(export) = ScriptExport::named(name) else { continue };
            let reason = match self.locals.get(local.as_str()) {
                None => format!("`{local}` is exported but not declared at the top level"),
                Some(Local::Async) => {
                    format!("`{name}` cannot be async: a script runs to its end in one go, and what it asks of the host answers at once")
                }
                Some(Local::Generator) => format!("`{name}` cannot be a generator function"),
                Some(Local::Class) => format!("`{name}` must be a function, not a class"),
                Some(Local::Callable | Local::Unknown) => {
                    known.push((export, local));
                    continue;
                }
            };
            return Err(unsupported(self.source, *span, reason));
        }
        if known.is_empty() {
            return Err(ScriptError::NoExport { others: self.found.iter().map(|(name, ..)| name.clone()).collect() });
        }
        known.sort_by_key(|(export, _)| *export);
        let entries: Vec<String> = known.iter().map(|(export, local)| format!("{export}: {local}")).collect();
        Ok((known.iter().map(|(export, _)| *export).collect(), format!("\n;({{{}}})", entries.join(", "))))
    }

    /// The source without its exports: every other character at its line and column.
    fn blanked(&self) -> String {
        let mut text = String::with_capacity(self.source.len());
        let mut done = 0;
        let mut blanks: Vec<&(Span, char)> = self.blanks.iter().collect();
        // What is exported may be a type altogether: the longer of two that begin at one place comes first, and what is in it is skipped.
        blanks.sort_by_key(|(span, _)| (span.start, std::cmp::Reverse(span.end)));
        for (span, first) in blanks {
            let (start, end) = (span.start as usize, span.end as usize);
            if start < done {
                continue;
            }
            text.push_str(self.source.get(done..start).unwrap_or_default());
            let blank = self.source.get(start..end).unwrap_or_default();
            text.extend(blank.chars().enumerate().map(|(i, c)| match c {
                '\n' | '\r' | '\u{2028}' | '\u{2029}' => c,
                _ if i == 0 => *first,
                _ => ' ',
            }));
            done = end;
        }
        text.push_str(self.source.get(done..).unwrap_or_default());
        text
    }
}

fn local(function: &Function<'_>) -> Local {
    match (function.r#async, function.generator) {
        (true, _) => Local::Async,
        (_, true) => Local::Generator,
        _ => Local::Callable,
    }
}

fn unsupported(source: &str, span: Span, reason: impl Into<String>) -> ScriptError {
    ScriptError::Unsupported { at: position(source, span.start as usize, 0), reason: reason.into() }
}

/// What the parser says, with the token it stumbled over. `shift` columns of the first line are not the author's.
fn syntax_error(source: &str, label: Span, shift: usize, message: &str, help: Option<&str>) -> ScriptError {
    let token = source.get(label.start as usize..label.end as usize).unwrap_or_default();
    let message = match (message, help) {
        ("Unexpected token", _) if token.is_empty() => "Unexpected end of the script".into(),
        ("Unexpected token", _) => format!("Unexpected token `{token}`"),
        (_, Some(help)) => format!("{message} ({help})"),
        _ => message.into(),
    };
    ScriptError::Syntax { at: position(source, label.start as usize, shift), message }
}

/// The line and column of a byte offset. Lines end with `\n`, as they do for the engine.
fn position(source: &str, offset: usize, shift: usize) -> Position {
    let mut offset = offset.min(source.len());
    while !source.is_char_boundary(offset) {
        offset -= 1;
    }
    let before = source.get(..offset).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    let column = before.get(start..).unwrap_or_default().chars().count() + 1;
    Position { line, column: if line == 1 { column.saturating_sub(shift).max(1) } else { column } }
}

/// Counts brackets, also those in texts and comments: a bound for the parser's recursion, not a reading.
fn refuse_deep_nesting(source: &str) -> Result<(), ScriptError> {
    let mut depth = 0_usize;
    for (offset, byte) in source.bytes().enumerate() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > NESTING_MAX {
            let reason = format!("brackets nest deeper than {NESTING_MAX}");
            return Err(ScriptError::Unsupported { at: position(source, offset, 0), reason });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
