//! What a path would cost, and what is refused for it.

use jsonpath_rust::parser::model::{
    Comparable, Comparison, Filter, FilterAtom, FnArg, JpQuery, Literal, Segment, Selector, SingularQuery, Test, TestFunction,
};

use super::error::{JsonPathError, refusal};

/// `..` in one path: each makes the cost grow with the document's depth, two of them with its square.
pub const PATH_DESCENDANTS_MAX: usize = 1;
/// How often one node may be visited because brackets list several selectors: `[*,*][*,*]` is four times.
pub const PATH_UNION_MAX: usize = 64;
/// The longest regular expression in `match` and `search`, in characters: it is compiled for each node it is asked of.
pub const PATTERN_CHARS_MAX: usize = 128;

/// Whether `query` is one we evaluate.
pub(super) fn check(query: &JpQuery) -> Result<(), JsonPathError> {
    Cost::default().segments(&query.segments, false)
}

/// What has been met of the things that are limited.
#[derive(Default)]
struct Cost {
    descendants: usize,
}

impl Cost {
    fn segments(&mut self, segments: &[Segment], inside_filter: bool) -> Result<(), JsonPathError> {
        let mut union = 1usize;
        for (index, segment) in segments.iter().enumerate() {
            let direct_filter = matches!(segment, Segment::Selector(Selector::Filter(_)));
            if inside_filter && index == 0 && direct_filter {
                // Known of jsonpath-rust 1.0.12: it finds nothing where RFC 9535 finds something.
                return Err(refusal(
                    "a filter directly on `@`, as in `[?@[?@>1]]`, is not evaluated correctly yet; name a member: `[?@.list[?@>1]]`",
                ));
            }
            union = union.saturating_mul(self.segment(segment)?);
        }
        if union > PATH_UNION_MAX {
            return Err(refusal(format!("the lists of selectors in brackets multiply to {union}; at most {PATH_UNION_MAX} is taken")));
        }
        Ok(())
    }

    /// How often the segment visits a node.
    fn segment(&mut self, segment: &Segment) -> Result<usize, JsonPathError> {
        match segment {
            Segment::Descendant(inner) => {
                self.descendants += 1;
                if self.descendants > PATH_DESCENDANTS_MAX {
                    return Err(refusal("`..` may stand once in a path: write out the way to it instead"));
                }
                self.segment(inner)
            }
            Segment::Selector(selector) => self.selector(selector).map(|()| 1),
            Segment::Selectors(selectors) => {
                for selector in selectors {
                    self.selector(selector)?;
                }
                Ok(selectors.len())
            }
        }
    }

    fn selector(&mut self, selector: &Selector) -> Result<(), JsonPathError> {
        match selector {
            Selector::Filter(filter) => self.filter(filter),
            _ => Ok(()),
        }
    }

    fn filter(&mut self, filter: &Filter) -> Result<(), JsonPathError> {
        match filter {
            Filter::Or(parts) | Filter::And(parts) => parts.iter().try_for_each(|part| self.filter(part)),
            Filter::Atom(FilterAtom::Filter { expr, .. }) => self.filter(expr),
            Filter::Atom(FilterAtom::Test { expr, .. }) => self.test(expr),
            Filter::Atom(FilterAtom::Comparison(comparison)) => {
                let (left, right) = match comparison.as_ref() {
                    Comparison::Eq(left, right)
                    | Comparison::Ne(left, right)
                    | Comparison::Gt(left, right)
                    | Comparison::Gte(left, right)
                    | Comparison::Lt(left, right)
                    | Comparison::Lte(left, right) => (left, right),
                };
                self.comparable(left)?;
                self.comparable(right)
            }
        }
    }

    fn comparable(&mut self, comparable: &Comparable) -> Result<(), JsonPathError> {
        match comparable {
            Comparable::Function(function) => self.function(function),
            Comparable::Literal(_) | Comparable::SingularQuery(SingularQuery::Current(_) | SingularQuery::Root(_)) => Ok(()),
        }
    }

    fn test(&mut self, test: &Test) -> Result<(), JsonPathError> {
        match test {
            Test::RelQuery(segments) => self.segments(segments, true),
            Test::Function(function) => self.function(function),
            // From inside a filter the whole document would be walked once for each node.
            Test::AbsQuery(query) => {
                let singular = |segment: &Segment| matches!(segment, Segment::Selector(Selector::Name(_) | Selector::Index(_)));
                if query.segments.iter().all(singular) {
                    Ok(())
                } else {
                    Err(refusal("inside a filter a path from the root `$` holds only names and indexes"))
                }
            }
        }
    }

    fn function(&mut self, function: &TestFunction) -> Result<(), JsonPathError> {
        match function {
            TestFunction::Custom(name, _) => Err(refusal(format!("RFC 9535 has no function `{name}`"))),
            TestFunction::Length(argument) => self.argument(argument),
            TestFunction::Value(argument) | TestFunction::Count(argument) => self.argument(argument),
            TestFunction::Search(subject, pattern) | TestFunction::Match(subject, pattern) => {
                self.argument(subject)?;
                check_pattern(pattern)
            }
        }
    }

    fn argument(&mut self, argument: &FnArg) -> Result<(), JsonPathError> {
        match argument {
            FnArg::Literal(_) => Ok(()),
            FnArg::Test(test) => self.test(test),
            FnArg::Filter(filter) => self.filter(filter),
        }
    }
}

/// Patterns are the admin's own and small: a counted repetition inside another grows a program of megabytes.
fn check_pattern(pattern: &FnArg) -> Result<(), JsonPathError> {
    let FnArg::Literal(Literal::String(pattern)) = pattern else {
        return Err(refusal("the pattern of `match` and `search` is written out, not taken from the document"));
    };
    let counts: Vec<&str> = pattern.split('{').skip(1).map(|rest| rest.split('}').next().unwrap_or_default()).collect();
    let is_large = |count: &str| count.split(',').any(|number| number.len() > 2);
    // `\p{Lu}` is no repetition, but is counted like one; that is on the safe side.
    if pattern.chars().count() > PATTERN_CHARS_MAX || counts.len() > 2 || counts.iter().any(|count| is_large(count)) {
        return Err(refusal(format!(
            "a pattern has at most {PATTERN_CHARS_MAX} characters, two repetitions with a count, and counts up to 99"
        )));
    }
    Ok(())
}
