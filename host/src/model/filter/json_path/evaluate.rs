//! Evaluation (RFC 9535, section 2): what is found is borrowed from the document, and every step is paid for.
//!
//! It recurses by the path, which has a limit. It never recurses by the document, which may be deep.

use std::{borrow::Cow, cmp::Ordering, collections::HashMap};

use super::{
    budget::{OverBudget, Steps},
    node::{Children, Node, Shape},
    number::Number,
    pattern::{self, Pattern, PatternError},
    syntax::{Condition, Operator, Query, Segment, Selector, Source, Term},
};

/// Patterns of the document that are kept compiled at once.
const FOUND_PATTERNS_MAX: usize = 4;

/// What is given each value that is found; whether it wants more.
type Visit<'a, 'v, N> = &'a mut dyn FnMut(&'v N) -> bool;

/// One evaluation.
pub(super) struct Evaluation<'v, 's, N: Node> {
    root: &'v N,
    steps: &'s mut Steps,
    /// By their text and whether the whole string must match; `None`: it is no pattern.
    patterns: HashMap<(String, bool), Option<Pattern>>,
}

/// A value that is compared.
enum Worth<'v, N: Node> {
    Nothing,
    Null,
    Bool(bool),
    Number(Number<'v>),
    Text(Cow<'v, str>),
    /// A list or an object.
    Node(&'v N),
}

impl<'v, N: Node> Worth<'v, N> {
    fn of(node: &'v N) -> Self {
        match node.shape() {
            Shape::Null => Self::Null,
            Shape::Bool(is) => Self::Bool(is),
            Shape::Number(number) => Self::Number(number),
            Shape::Text(text) => Self::Text(Cow::Borrowed(text)),
            Shape::List(_) | Shape::Object(_) => Self::Node(node),
        }
    }
}

impl<'v, 's, N: Node> Evaluation<'v, 's, N> {
    pub fn new(root: &'v N, steps: &'s mut Steps) -> Self {
        Self { root, steps, patterns: HashMap::new() }
    }

    /// Gives `visit` each value that `query` finds, in order, until it wants no more.
    pub fn run<'q>(&mut self, query: &'q Query, visit: Visit<'_, 'v, N>) -> Result<(), OverBudget>
    where
        'q: 'v,
    {
        self.walk(&query.segments, self.root, visit).map(|_| ())
    }

    /// Whether `visit` wants more.
    fn walk<'q: 'v>(&mut self, segments: &'q [Segment], node: &'v N, visit: Visit<'_, 'v, N>) -> Result<bool, OverBudget> {
        let (mut node, mut left) = (node, segments);
        loop {
            let Some((segment, rest)) = left.split_first() else {
                return Ok(visit(node));
            };
            // The way down to one value takes no recursion.
            match segment.selectors.as_slice() {
                [Selector::Name(_) | Selector::Index(_)] if !segment.descends => {}
                _ if segment.descends => return self.descend(&segment.selectors, rest, node, visit),
                selectors => return self.select(selectors, rest, node, visit),
            }
            self.steps.spend(1)?;
            match pick(&segment.selectors[0], node) {
                Some(next) => (node, left) = (next, rest),
                None => return Ok(true),
            }
        }
    }

    fn descend<'q: 'v>(
        &mut self,
        selectors: &'q [Selector],
        rest: &'q [Segment],
        node: &'v N,
        visit: Visit<'_, 'v, N>,
    ) -> Result<bool, OverBudget> {
        if !self.select(selectors, rest, node, visit)? {
            return Ok(false);
        }
        let mut open = vec![Children::of(node)];
        while let Some(children) = open.last_mut() {
            let Some(child) = children.next() else {
                open.pop();
                continue;
            };
            self.steps.spend(1)?;
            if !self.select(selectors, rest, child, visit)? {
                return Ok(false);
            }
            match Children::of(child) {
                Children::None => {}
                below => open.push(below),
            }
        }
        Ok(true)
    }

    fn select<'q: 'v>(
        &mut self,
        selectors: &'q [Selector],
        rest: &'q [Segment],
        node: &'v N,
        visit: Visit<'_, 'v, N>,
    ) -> Result<bool, OverBudget> {
        for (position, selector) in selectors.iter().enumerate() {
            if position > 0 {
                self.steps.spend(1)?;
            }
            match selector {
                Selector::Name(_) | Selector::Index(_) => {
                    if let Some(found) = pick(selector, node)
                        && !self.walk(rest, found, visit)?
                    {
                        return Ok(false);
                    }
                }
                Selector::Wildcard => {
                    for child in Children::of(node) {
                        self.steps.spend(1)?;
                        if !self.walk(rest, child, visit)? {
                            return Ok(false);
                        }
                    }
                }
                Selector::Slice(start, end, step) => {
                    let Shape::List(items) = node.shape() else { continue };
                    let (mut at, last, step) = slice(*start, *end, *step, length(items.len()));
                    while (step > 0 && at < last) || (step < 0 && at > last) {
                        self.steps.spend(1)?;
                        if let Some(item) = usize::try_from(at).ok().and_then(|at| items.get(at))
                            && !self.walk(rest, item, visit)?
                        {
                            return Ok(false);
                        }
                        at = at.saturating_add(step);
                    }
                }
                Selector::Filter(condition) => {
                    for child in Children::of(node) {
                        self.steps.spend(1)?;
                        if self.holds(condition, child)? && !self.walk(rest, child, visit)? {
                            return Ok(false);
                        }
                    }
                }
            }
        }
        Ok(true)
    }

    fn holds<'q: 'v>(&mut self, condition: &'q Condition, node: &'v N) -> Result<bool, OverBudget> {
        self.steps.spend(1)?;
        Ok(match condition {
            Condition::Not(inner) => !self.holds(inner, node)?,
            Condition::And(parts) => {
                for part in parts {
                    if !self.holds(part, node)? {
                        return Ok(false);
                    }
                }
                true
            }
            Condition::Or(parts) => {
                for part in parts {
                    if self.holds(part, node)? {
                        return Ok(true);
                    }
                }
                false
            }
            Condition::Exists(source) => {
                let mut is_found = false;
                self.from(source, node, &mut |_| {
                    is_found = true;
                    false
                })?;
                is_found
            }
            Condition::Compare(left, operator, right) => {
                let (left, right) = (self.worth(left, node)?, self.worth(right, node)?);
                self.compare(&left, *operator, &right)?
            }
            Condition::Matches(subject, pattern) => match self.worth(subject, node)? {
                Worth::Text(text) => {
                    self.steps.spend(pattern.steps(text.len()))?;
                    pattern.is_in(&text)
                }
                _ => false,
            },
            Condition::MatchesFound(subject, pattern, is_whole) => match (self.worth(subject, node)?, self.worth(pattern, node)?) {
                (Worth::Text(text), Worth::Text(pattern)) => self.matches_found(&text, &pattern, *is_whole)?,
                _ => false,
            },
        })
    }

    /// Whether a pattern of the document is in `text`. What is no pattern matches nothing (RFC 9535, section 2.4.6).
    fn matches_found(&mut self, text: &str, pattern: &str, is_whole: bool) -> Result<bool, OverBudget> {
        self.steps.compare(pattern.len())?;
        let key = (pattern.to_owned(), is_whole);
        if !self.patterns.contains_key(&key) {
            let compiled = match pattern::compile_steps(pattern) {
                Ok(steps) => {
                    self.steps.spend(steps)?;
                    Pattern::compile(pattern, is_whole)
                }
                Err(error) => Err(error),
            };
            let compiled = match compiled {
                Ok(compiled) => Some(compiled),
                Err(PatternError::Not(_)) => None,
                Err(PatternError::TooLarge(_)) => return Err(OverBudget::Pattern),
            };
            if self.patterns.len() >= FOUND_PATTERNS_MAX {
                self.patterns.clear();
            }
            self.patterns.insert(key.clone(), compiled);
        }
        let Some(Some(pattern)) = self.patterns.get(&key) else { return Ok(false) };
        self.steps.spend(pattern.steps(text.len()))?;
        Ok(pattern.is_in(text))
    }

    fn from<'q: 'v>(&mut self, source: &'q Source, node: &'v N, visit: Visit<'_, 'v, N>) -> Result<(), OverBudget> {
        let start = if source.from_root { self.root } else { node };
        self.walk(&source.query.segments, start, visit).map(|_| ())
    }

    fn worth<'q: 'v>(&mut self, operand: &'q Term, node: &'v N) -> Result<Worth<'v, N>, OverBudget> {
        Ok(match operand {
            Term::Null => Worth::Null,
            Term::Bool(is) => Worth::Bool(*is),
            Term::Number(number) => Worth::Number(match number {
                Number::Whole(whole) => Number::Whole(*whole),
                Number::Double(double) => Number::Double(*double),
                Number::Text(text) => Number::Text(Cow::Borrowed(text)),
            }),
            Term::Text(text) => Worth::Text(Cow::Borrowed(text)),
            Term::Query(source) => {
                let mut found = None;
                self.from(source, node, &mut |one| {
                    found = Some(one);
                    false
                })?;
                found.map_or(Worth::Nothing, Worth::of)
            }
            Term::Value(source) => {
                let (mut found, mut count) = (None, 0);
                self.from(source, node, &mut |one| {
                    found = Some(one);
                    count += 1;
                    count < 2
                })?;
                found.filter(|_| count == 1).map_or(Worth::Nothing, Worth::of)
            }
            Term::Count(source) => {
                let mut count = 0;
                self.from(source, node, &mut |_| {
                    count += 1;
                    true
                })?;
                Worth::Number(Number::Whole(count))
            }
            Term::Length(inner) => {
                let length = match self.worth(inner, node)? {
                    Worth::Text(text) => {
                        self.steps.compare(text.len())?;
                        Some(text.chars().count())
                    }
                    Worth::Node(node) => match node.shape() {
                        Shape::List(items) => Some(items.len()),
                        Shape::Object(object) => Some(N::width(object)),
                        _ => None,
                    },
                    _ => None,
                };
                length.map_or(Worth::Nothing, |many| Worth::Number(Number::Whole(self::length(many))))
            }
        })
    }

    /// RFC 9535, section 2.3.5.2.2.
    fn compare(&mut self, left: &Worth<'v, N>, operator: Operator, right: &Worth<'v, N>) -> Result<bool, OverBudget> {
        use Ordering::{Equal, Greater, Less};
        let order = match (left, right) {
            (Worth::Number(left), Worth::Number(right)) => {
                self.steps.numbers(left.bytes(right))?;
                Some(left.compare(right))
            }
            (Worth::Text(left), Worth::Text(right)) => {
                self.steps.compare(left.len().min(right.len()))?;
                Some(left.as_bytes().cmp(right.as_bytes()))
            }
            (Worth::Nothing, Worth::Nothing) | (Worth::Null, Worth::Null) => Some(Equal),
            (Worth::Bool(left), Worth::Bool(right)) => (left == right).then_some(Equal),
            (Worth::Node(left), Worth::Node(right)) => self.same(left, right)?.then_some(Equal),
            _ => None,
        };
        Ok(match operator {
            Operator::Eq => order == Some(Equal),
            Operator::Ne => order != Some(Equal),
            Operator::Lt => order == Some(Less),
            Operator::Le => matches!(order, Some(Less | Equal)),
            Operator::Gt => order == Some(Greater),
            Operator::Ge => matches!(order, Some(Greater | Equal)),
        })
    }

    /// Whether two values are the same, at any depth.
    fn same(&mut self, left: &'v N, right: &'v N) -> Result<bool, OverBudget> {
        let mut pairs: Vec<Pairs<'v, N>> = Vec::new();
        let mut next = Some((left, right));
        loop {
            let Some((left, right)) = next else { return Ok(true) };
            self.steps.spend(1)?;
            match (left.shape(), right.shape()) {
                (Shape::List(left), Shape::List(right)) if left.len() == right.len() => {
                    pairs.push(Pairs::Items(left.iter(), right.iter()));
                }
                (Shape::Object(left), Shape::Object(right)) if N::width(left) == N::width(right) => {
                    pairs.push(Pairs::Members(N::members(left), right));
                }
                (Shape::List(_) | Shape::Object(_), _) | (_, Shape::List(_) | Shape::Object(_)) => return Ok(false),
                _ => {
                    if !self.compare(&Worth::of(left), Operator::Eq, &Worth::of(right))? {
                        return Ok(false);
                    }
                }
            }
            next = None;
            while let Some(open) = pairs.last_mut() {
                match open {
                    Pairs::Items(left, right) => next = left.next().zip(right.next()),
                    Pairs::Members(left, right) => {
                        if let Some((name, left)) = left.next() {
                            self.steps.compare(name.len())?;
                            let Some(right) = N::member(right, name) else { return Ok(false) };
                            next = Some((left, right));
                        }
                    }
                }
                if next.is_some() {
                    break;
                }
                pairs.pop();
            }
        }
    }
}

/// What is still to be compared of two lists, or of two objects.
enum Pairs<'v, N: Node + 'v> {
    Items(std::slice::Iter<'v, N>, std::slice::Iter<'v, N>),
    Members(N::Members<'v>, &'v N::Fields),
}

/// The one value a name or an index selects.
fn pick<'v, N: Node>(selector: &Selector, node: &'v N) -> Option<&'v N> {
    match (selector, node.shape()) {
        (Selector::Name(name), Shape::Object(object)) => N::member(object, name),
        (Selector::Index(index), Shape::List(items)) => {
            let at = if *index < 0 { index.checked_add(length(items.len()))? } else { *index };
            items.get(usize::try_from(at).ok()?)
        }
        _ => None,
    }
}

/// Where a slice begins, the index it ends before, and its step (RFC 9535, section 2.3.4.2.2). A step of 0 selects nothing.
fn slice(start: Option<i64>, end: Option<i64>, step: i64, len: i64) -> (i64, i64, i64) {
    let normal = |index: i64| if index < 0 { index.saturating_add(len) } else { index };
    if step >= 0 {
        (normal(start.unwrap_or(0)).clamp(0, len), normal(end.unwrap_or(len)).clamp(0, len), step)
    } else {
        let start = start.map_or(len - 1, normal).clamp(-1, len - 1);
        (start, end.map_or(-1, |end| normal(end).clamp(-1, len - 1)), step)
    }
}

fn length(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}
