//! Reading a function and its arguments.

use serde_json::{Number, Value};

use super::{
    call::{ARGUMENTS_MAX, Argument, Call, FUNCTION_DEPTH_MAX},
    condition::Condition,
    failure::{FunctionError, PREFIX},
    kind::Kind,
    table::{self, Signature},
};
use crate::model::{filter::json_path::JsonPath, problem::nearest, reference::Reference};

/// Reads the function `text` begins with.
pub(super) fn call(text: &str) -> Result<Call, FunctionError> {
    Reader { text, at: 0, depth: 0 }.call()
}

/// A place in a text with functions and references.
pub(super) struct Reader<'t> {
    pub text: &'t str,
    /// The next byte.
    pub at: usize,
    /// How deep what is read stands.
    pub depth: usize,
}

impl<'t> Reader<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    pub(super) fn refused<T>(&self, detail: impl Into<String>) -> Result<T, FunctionError> {
        refused(self.at, detail)
    }

    pub(super) fn skip_space(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    /// Takes `token`, if it is next.
    pub(super) fn takes(&mut self, token: &str) -> bool {
        let is_next = self.rest().starts_with(token);
        self.at += if is_next { token.len() } else { 0 };
        is_next
    }

    pub(super) fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, FunctionError>) -> Result<T, FunctionError> {
        if self.depth >= FUNCTION_DEPTH_MAX {
            return self.refused(format!("functions, lists and conditions stand at most {FUNCTION_DEPTH_MAX} deep"));
        }
        self.depth += 1;
        let read = read(self);
        self.depth -= 1;
        read
    }

    /// A function, from its `$` on.
    pub(super) fn call(&mut self) -> Result<Call, FunctionError> {
        let start = self.at;
        if !self.takes(PREFIX) {
            return self.refused("there is no such `$sys.`; a function is written `$sys.func.NAME(...)`");
        }
        let name_at = self.at;
        let name = &self.rest()[..self.rest().bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count()];
        let Some(signature) = table::find(name) else { return refused(name_at, unknown(name)) };
        self.at += name.len();
        if !self.takes("(") {
            return self.refused(format!("the arguments of `{name}` follow in parentheses, also when there are none: `{PREFIX}{name}()`"));
        }
        let read = self.deeper(|reader| reader.sequence(")"))?;
        let arguments = fitted(signature, name_at, read)?;
        Ok(Call { signature, arguments, text: self.text[start..self.at].to_owned() })
    }

    /// Arguments up to `end`, each with where it begins.
    fn sequence(&mut self, end: &str) -> Result<Vec<(usize, Argument)>, FunctionError> {
        let mut read = Vec::new();
        self.skip_space();
        if self.takes(end) {
            return Ok(read);
        }
        loop {
            self.skip_space();
            let at = self.at;
            read.push((at, self.argument()?));
            if read.len() > ARGUMENTS_MAX {
                return refused(at, format!("at most {ARGUMENTS_MAX} arguments or members"));
            }
            self.skip_space();
            if self.takes(end) {
                return Ok(read);
            }
            if !self.takes(",") {
                return self.refused(format!("here `,` or `{end}` is missing"));
            }
        }
    }

    /// One argument: `3.5`, `"text"`, `true`, `[...]`, a reference or a function.
    fn argument(&mut self) -> Result<Argument, FunctionError> {
        match self.rest().as_bytes().first() {
            Some(b'$') => self.looked_up(),
            Some(b'"') => Ok(Argument::Literal(Value::String(self.quoted()?))),
            Some(b'[') => {
                self.at += 1;
                let members = self.deeper(|reader| reader.sequence("]"))?;
                Ok(Argument::List(members.into_iter().map(|(_, member)| member).collect()))
            }
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ if self.takes("true") => Ok(Argument::Literal(Value::Bool(true))),
            _ if self.takes("false") => Ok(Argument::Literal(Value::Bool(false))),
            _ => self.refused("an argument is a number, a text in double quotes, true, false, a list `[...]`, a reference or a function"),
        }
    }

    /// A reference or a function.
    pub(super) fn looked_up(&mut self) -> Result<Argument, FunctionError> {
        if self.rest().starts_with("$sys.") {
            return Ok(Argument::Call(self.call()?));
        }
        match Reference::parse(self.rest()) {
            Ok(Some(reference)) => {
                self.at += reference.as_str().len();
                Ok(Argument::Reference(reference))
            }
            Ok(None) => self.refused("a reference such as `$session.params.NAME` or a function such as `$sys.func.NOW()` belongs here"),
            Err(error) => self.refused(error.detail),
        }
    }

    /// A text in double quotes, with JSON's escapes.
    pub(super) fn quoted(&mut self) -> Result<String, FunctionError> {
        let (mut escaped, mut end) = (false, None);
        for (index, byte) in self.rest().bytes().enumerate().skip(1) {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => {
                    end = Some(index + 1);
                    break;
                }
                _ => {}
            }
        }
        let Some(end) = end else { return self.refused("this text has no closing quote") };
        match serde_json::from_str(&self.rest()[..end]) {
            Ok(text) => {
                self.at += end;
                Ok(text)
            }
            Err(_) => self.refused(r#"inside of a text, quotes and backslashes are written `\"` and `\\`, line breaks `\n`"#),
        }
    }

    fn number(&mut self) -> Result<Argument, FunctionError> {
        let written = &self.rest()[..self.rest().bytes().take_while(|b| b.is_ascii_alphanumeric() || b"+-.".contains(b)).count()];
        match serde_json::from_str::<Number>(written) {
            Ok(number) => {
                self.at += written.len();
                Ok(Argument::Literal(Value::Number(number)))
            }
            Err(_) => self.refused(format!("`{written}` is no number; one is written as in JSON: `-12.5`")),
        }
    }
}

pub(super) fn refused<T>(at: usize, detail: impl Into<String>) -> Result<T, FunctionError> {
    Err(FunctionError { at, detail: detail.into() })
}

fn unknown(name: &str) -> String {
    match nearest(name, table::names()) {
        Some(near) => format!("there is no function `{name}`; did you mean `{near}`?"),
        None => format!("there is no function `{name}`; there are {}", table::names().collect::<Vec<_>>().join(", ")),
    }
}

/// The arguments as the function wants them, or what is wrong with them as far as it can be seen without their values.
fn fitted(signature: &Signature, name_at: usize, read: Vec<(usize, Argument)>) -> Result<Vec<Argument>, FunctionError> {
    signature.takes_count(read.len()).or_else(|detail| refused(name_at, detail))?;
    let mut arguments = Vec::with_capacity(read.len());
    for (index, (at, argument)) in read.into_iter().enumerate() {
        let kind = signature.kind(index);
        let wrong = |detail: String| FunctionError { at, detail };
        let argument = fit(kind, argument).map_err(|detail| {
            wrong(detail.unwrap_or_else(|| format!("argument {} of `{}` is not {}", index + 1, signature.name, kind.said())))
        })?;
        arguments.push(argument);
    }
    if let Some(check) = signature.check {
        let seen: Vec<_> = arguments.iter().map(|one| if let Argument::Literal(value) = one { Some(value) } else { None }).collect();
        check(&seen).or_else(|detail| refused(name_at, detail))?;
    }
    Ok(arguments)
}

/// The argument as one of this kind; otherwise what is wrong with it, if there is more to say than that it is not.
fn fit(kind: Kind, argument: Argument) -> Result<Argument, Option<String>> {
    match (kind, argument) {
        (Kind::Condition, Argument::Literal(Value::String(text))) => Condition::parse(&text).map(Argument::Condition).map_err(Some),
        (Kind::Path, Argument::Literal(Value::String(text))) => {
            JsonPath::parse(&text).map(Argument::Path).map_err(|error| Some(error.to_string()))
        }
        (Kind::Path, _) => Err(None),
        (Kind::Named, Argument::Literal(Value::String(text))) => match Reference::parse(&text) {
            Ok(Some(reference)) if reference.as_str() == text => Ok(Argument::Reference(reference)),
            Ok(_) => Err(Some("here stands a reference, in quotes or not: `$session.params.NAME`".to_owned())),
            Err(error) => Err(Some(error.detail)),
        },
        (kind, Argument::Literal(value)) => kind.take(value).map(Argument::Literal).ok_or(None),
        (kind, Argument::Call(call)) if kind.may_be(call.signature.gives) => Ok(Argument::Call(call)),
        (kind, Argument::List(items)) if kind.may_be(Kind::List) => Ok(Argument::List(items)),
        (_, Argument::Reference(reference)) => Ok(Argument::Reference(reference)),
        _ => Err(None),
    }
}
