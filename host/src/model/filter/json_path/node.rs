//! What paths are evaluated on: the few things a path asks of a JSON value, so that it does not matter whose type the value is.

use serde_json::{Map, Value, map};

use super::number::Number;

/// A JSON value a path can look into.
pub trait Node: Sized {
    /// The type of its objects.
    type Fields;
    /// Goes through an object's members.
    type Members<'v>: Iterator<Item = (&'v String, &'v Self)>
    where
        Self: 'v;

    /// What it is.
    fn shape(&self) -> Shape<'_, Self>;
    /// The members of an object, in order.
    fn members(object: &Self::Fields) -> Self::Members<'_>;
    /// The member of this name.
    fn member<'v>(object: &'v Self::Fields, name: &str) -> Option<&'v Self>;
    /// How many members there are.
    fn width(object: &Self::Fields) -> usize;
}

/// What a value is.
pub enum Shape<'v, N: Node> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number.
    Number(Number<'v>),
    /// A string.
    Text(&'v str),
    /// An array.
    List(&'v [N]),
    /// An object.
    Object(&'v N::Fields),
}

impl Node for Value {
    type Fields = Map<String, Self>;
    type Members<'v> = map::Iter<'v>;

    fn shape(&self) -> Shape<'_, Self> {
        match self {
            Self::Null => Shape::Null,
            Self::Bool(is) => Shape::Bool(*is),
            Self::Number(number) => Shape::Number(match (number.as_i64(), number.as_u64(), number.as_f64()) {
                (Some(whole), _, _) => Number::Whole(whole),
                (None, None, Some(double)) => Number::Double(double),
                _ => Number::Text(number.to_string().into()),
            }),
            Self::String(text) => Shape::Text(text),
            Self::Array(items) => Shape::List(items),
            Self::Object(members) => Shape::Object(members),
        }
    }

    fn members(object: &Self::Fields) -> Self::Members<'_> {
        object.iter()
    }

    fn member<'v>(object: &'v Self::Fields, name: &str) -> Option<&'v Self> {
        object.get(name)
    }

    fn width(object: &Self::Fields) -> usize {
        object.len()
    }
}

/// The values directly below a value, in order.
pub(super) enum Children<'v, N: Node + 'v> {
    None,
    Items(std::slice::Iter<'v, N>),
    Members(N::Members<'v>),
}

impl<'v, N: Node> Children<'v, N> {
    pub fn of(node: &'v N) -> Self {
        match node.shape() {
            Shape::List(items) => Self::Items(items.iter()),
            Shape::Object(object) => Self::Members(N::members(object)),
            _ => Self::None,
        }
    }
}

impl<'v, N: Node> Iterator for Children<'v, N> {
    type Item = &'v N;

    fn next(&mut self) -> Option<&'v N> {
        match self {
            Self::None => None,
            Self::Items(items) => items.next(),
            Self::Members(members) => members.next().map(|(_, value)| value),
        }
    }
}
