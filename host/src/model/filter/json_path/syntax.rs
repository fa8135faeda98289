//! A path as it is evaluated: the parser's tree with exact numbers, compiled patterns, and the types of RFC 9535, section 2.4, checked.

use jsonpath_rust::parser::model as parsed;

use super::{
    error::{JsonPathError, refusal},
    normal::Normal,
    number::Number,
    pattern::{Pattern, PatternError},
};

#[derive(Debug)]
pub(super) struct Query {
    pub segments: Vec<Segment>,
}

#[derive(Debug)]
pub(super) struct Segment {
    /// `..`: of the value and everything below it.
    pub descends: bool,
    pub selectors: Vec<Selector>,
}

#[derive(Debug)]
pub(super) enum Selector {
    Name(String),
    Index(i64),
    Wildcard,
    /// Start, end and step.
    Slice(Option<i64>, Option<i64>, i64),
    Filter(Condition),
}

/// What holds or does not (`LogicalType`).
#[derive(Debug)]
pub(super) enum Condition {
    Or(Vec<Condition>),
    And(Vec<Condition>),
    Not(Box<Condition>),
    Exists(Source),
    Compare(Term, Operator, Term),
    /// `match` or `search`, with a pattern that is written out.
    Matches(Term, Pattern),
    /// The same with a pattern of the document; whether the whole string must match.
    MatchesFound(Term, Term, bool),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Operator {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

/// A query inside a filter.
#[derive(Debug)]
pub(super) struct Source {
    /// From `$`, rather than from `@`.
    pub from_root: bool,
    pub query: Query,
}

/// A value or Nothing (`ValueType`).
#[derive(Debug)]
pub(super) enum Term {
    Null,
    Bool(bool),
    Number(Number<'static>),
    Text(String),
    /// Singular.
    Query(Source),
    Length(Box<Term>),
    Count(Source),
    Value(Source),
}

impl Query {
    pub fn of(tree: &parsed::JpQuery, normal: &Normal) -> Result<Self, JsonPathError> {
        Checker { normal, calls: 0 }.query(&tree.segments)
    }

    pub fn is_singular(&self) -> bool {
        self.segments.iter().all(|segment| !segment.descends && matches!(segment.selectors[..], [Selector::Name(_) | Selector::Index(_)]))
    }
}

/// Goes through the tree in the order it was written, so that the next function it meets is the next call in the text.
struct Checker<'n> {
    normal: &'n Normal,
    calls: usize,
}

impl Checker<'_> {
    fn query(&mut self, segments: &[parsed::Segment]) -> Result<Query, JsonPathError> {
        let segments: Result<Vec<_>, _> = segments.iter().map(|segment| self.segment(segment)).collect();
        Ok(Query { segments: segments? })
    }

    fn segment(&mut self, segment: &parsed::Segment) -> Result<Segment, JsonPathError> {
        Ok(match segment {
            // A descendant segment has a child segment in it, and no other.
            parsed::Segment::Descendant(inner) => Segment { descends: true, ..self.segment(inner)? },
            parsed::Segment::Selector(selector) => Segment { descends: false, selectors: vec![self.selector(selector)?] },
            parsed::Segment::Selectors(several) => {
                let selectors: Result<Vec<_>, _> = several.iter().map(|selector| self.selector(selector)).collect();
                Segment { descends: false, selectors: selectors? }
            }
        })
    }

    fn selector(&mut self, selector: &parsed::Selector) -> Result<Selector, JsonPathError> {
        Ok(match selector {
            parsed::Selector::Name(name) => Selector::Name(name.clone()),
            parsed::Selector::Wildcard => Selector::Wildcard,
            parsed::Selector::Index(index) => Selector::Index(*index),
            parsed::Selector::Slice(start, end, step) => Selector::Slice(*start, *end, step.unwrap_or(1)),
            parsed::Selector::Filter(filter) => Selector::Filter(self.condition(filter)?),
        })
    }

    fn condition(&mut self, filter: &parsed::Filter) -> Result<Condition, JsonPathError> {
        let mut all = |parts: &[parsed::Filter]| parts.iter().map(|part| self.condition(part)).collect::<Result<Vec<_>, _>>();
        let (condition, not) = match filter {
            parsed::Filter::Or(parts) => (Condition::Or(all(parts)?), false),
            parsed::Filter::And(parts) => (Condition::And(all(parts)?), false),
            parsed::Filter::Atom(parsed::FilterAtom::Filter { expr, not }) => (self.condition(expr)?, *not),
            parsed::Filter::Atom(parsed::FilterAtom::Test { expr, not }) => (self.test(expr)?, *not),
            parsed::Filter::Atom(parsed::FilterAtom::Comparison(comparison)) => {
                let operator = match comparison.as_ref() {
                    parsed::Comparison::Eq(..) => Operator::Eq,
                    parsed::Comparison::Ne(..) => Operator::Ne,
                    parsed::Comparison::Lt(..) => Operator::Lt,
                    parsed::Comparison::Lte(..) => Operator::Le,
                    parsed::Comparison::Gt(..) => Operator::Gt,
                    parsed::Comparison::Gte(..) => Operator::Ge,
                };
                let (left, right) = comparison.vals();
                (Condition::Compare(self.comparable(left)?, operator, self.comparable(right)?), false)
            }
        };
        Ok(if not { Condition::Not(Box::new(condition)) } else { condition })
    }

    fn test(&mut self, test: &parsed::Test) -> Result<Condition, JsonPathError> {
        Ok(match test {
            parsed::Test::RelQuery(segments) => Condition::Exists(Source { from_root: false, query: self.query(segments)? }),
            parsed::Test::AbsQuery(query) => Condition::Exists(Source { from_root: true, query: self.query(&query.segments)? }),
            parsed::Test::Function(function) => match function.as_ref() {
                parsed::TestFunction::Match(subject, pattern) => self.matching(subject, pattern, true)?,
                parsed::TestFunction::Search(subject, pattern) => self.matching(subject, pattern, false)?,
                custom @ parsed::TestFunction::Custom(..) => return self.function(custom).map(|_| Condition::Or(Vec::new())),
                other => {
                    let place = self.call();
                    let name = name_of(other);
                    return at(place, format!("`{name}` gives a value, which is compared: `{name}(...) > 0`"));
                }
            },
        })
    }

    fn matching(&mut self, subject: &parsed::FnArg, pattern: &parsed::FnArg, is_whole: bool) -> Result<Condition, JsonPathError> {
        let place = self.call();
        let name = if is_whole { "match" } else { "search" };
        let subject = self.value(subject, name, place)?;
        Ok(match self.value(pattern, name, place)? {
            Term::Text(text) => match Pattern::compile(&text, is_whole) {
                Ok(pattern) => Condition::Matches(subject, pattern),
                Err(PatternError::Not(detail) | PatternError::TooLarge(detail)) => return at(place, detail),
            },
            other => Condition::MatchesFound(subject, other, is_whole),
        })
    }

    /// Where the function stands that is met now.
    fn call(&mut self) -> Option<usize> {
        let place = self.normal.calls.get(self.calls).copied();
        self.calls += 1;
        place
    }

    fn comparable(&mut self, comparable: &parsed::Comparable) -> Result<Term, JsonPathError> {
        use parsed::{SingularQuery, SingularQuerySegment};
        Ok(match comparable {
            parsed::Comparable::Literal(literal) => self.literal(literal)?,
            parsed::Comparable::Function(function) => self.function(function)?,
            parsed::Comparable::SingularQuery(query) => {
                let (from_root, segments) = match query {
                    SingularQuery::Root(segments) => (true, segments),
                    SingularQuery::Current(segments) => (false, segments),
                };
                let selector = |segment: &SingularQuerySegment| match segment {
                    SingularQuerySegment::Name(name) => Selector::Name(name.clone()),
                    SingularQuerySegment::Index(index) => Selector::Index(*index),
                };
                let segments = segments.iter().map(|segment| Segment { descends: false, selectors: vec![selector(segment)] }).collect();
                Term::Query(Source { from_root, query: Query { segments } })
            }
        })
    }

    fn literal(&self, literal: &parsed::Literal) -> Result<Term, JsonPathError> {
        Ok(match literal {
            parsed::Literal::Null => Term::Null,
            parsed::Literal::Bool(is) => Term::Bool(*is),
            parsed::Literal::String(text) => Term::Text(text.clone()),
            parsed::Literal::Int(whole) => Term::Number(Number::Whole(*whole)),
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "the pass before put it there: `3.5` is the number 3"
            )]
            parsed::Literal::Float(place) => match self.normal.numbers.get(place.floor() as usize) {
                Some(text) => Term::Number(Number::of(text)),
                None => return Err(refusal("this number cannot be read")),
            },
        })
    }

    fn function(&mut self, function: &parsed::TestFunction) -> Result<Term, JsonPathError> {
        let place = self.call();
        let name = name_of(function);
        match function {
            parsed::TestFunction::Length(argument) => Ok(Term::Length(Box::new(self.value(argument, name, place)?))),
            parsed::TestFunction::Count(argument) => Ok(Term::Count(self.nodes(argument, name, place)?)),
            parsed::TestFunction::Value(argument) => Ok(Term::Value(self.nodes(argument, name, place)?)),
            parsed::TestFunction::Match(..) | parsed::TestFunction::Search(..) => {
                at(place, format!("`{name}` holds or does not, and is not compared: `{name}(...)` or `!{name}(...)`"))
            }
            parsed::TestFunction::Custom(..) => {
                at(place, format!("RFC 9535 has no function `{name}`; it has `length`, `count`, `value`, `match` and `search`"))
            }
        }
    }

    /// An argument that is a value.
    fn value(&mut self, argument: &parsed::FnArg, function: &str, place: Option<usize>) -> Result<Term, JsonPathError> {
        let source = match argument {
            parsed::FnArg::Literal(literal) => return self.literal(literal),
            parsed::FnArg::Test(test) => match test.as_ref() {
                parsed::Test::Function(function) => return self.function(function),
                parsed::Test::RelQuery(segments) => Source { from_root: false, query: self.query(segments)? },
                parsed::Test::AbsQuery(query) => Source { from_root: true, query: self.query(&query.segments)? },
            },
            parsed::FnArg::Filter(_) => return at(place, format!("`{function}` takes a value, not a condition")),
        };
        if source.query.is_singular() {
            return Ok(Term::Query(source));
        }
        let instead = if function == "length" { "count how many it finds, `count(@.list[*])`, or " } else { "" };
        at(
            place,
            format!(
                "`{function}` takes one value, and this path can find several; {instead}name one: `{function}(@.list[0])`, `{function}(value(@..name))`"
            ),
        )
    }

    /// An argument that is what a query finds.
    fn nodes(&mut self, argument: &parsed::FnArg, function: &str, place: Option<usize>) -> Result<Source, JsonPathError> {
        let parsed::FnArg::Test(test) = argument else {
            return at(place, format!("`{function}` takes a path: `{function}(@.list[*])`"));
        };
        match test.as_ref() {
            parsed::Test::RelQuery(segments) => Ok(Source { from_root: false, query: self.query(segments)? }),
            parsed::Test::AbsQuery(query) => Ok(Source { from_root: true, query: self.query(&query.segments)? }),
            parsed::Test::Function(_) => {
                at(place, format!("`{function}` takes a path, not what a function gives: `{function}(@.list[*])`"))
            }
        }
    }
}

fn at<T>(position: Option<usize>, detail: String) -> Result<T, JsonPathError> {
    Err(JsonPathError { position, detail })
}

fn name_of(function: &parsed::TestFunction) -> &str {
    match function {
        parsed::TestFunction::Custom(name, _) => name,
        parsed::TestFunction::Length(_) => "length",
        parsed::TestFunction::Value(_) => "value",
        parsed::TestFunction::Count(_) => "count",
        parsed::TestFunction::Search(..) => "search",
        parsed::TestFunction::Match(..) => "match",
    }
}
