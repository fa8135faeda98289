//! Every function: what it takes, what it gives, where it is done.

use jiff::Timestamp;
use serde_json::Value;

use super::{date, format::Pattern, language, list, logic, number, object, text};

/// What a place asks for, or a function gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Any,
    Text,
    Number,
    /// A whole number from 0 on.
    Index,
    Boolean,
    List,
    Object,
    /// A date, with or without a time: RFC 3339, its parts, or Dialogflow's object.
    Date,
    /// DAYS, HOURS, ...
    Unit,
    /// How a date is written out.
    Pattern,
    /// A language we have names of months for.
    Language,
    /// A condition in quotes, or a boolean.
    Condition,
    /// A JSONPath in quotes.
    Path,
    /// A reference, in quotes (as Dialogflow writes it) or not.
    Named,
}

impl Kind {
    /// For people, behind "is not".
    pub(super) fn said(self) -> &'static str {
        match self {
            Self::Any | Self::Named => "a value",
            Self::Text => "a text",
            Self::Number => "a number",
            Self::Index => "a whole number from 0 on",
            Self::Boolean => "true or false",
            Self::List => "a list",
            Self::Object => "an object",
            Self::Date => "a date such as \"2026-03-01\" or \"2026-03-01T12:00:00Z\"",
            Self::Unit => "a unit: SECONDS, MINUTES, HOURS, DAYS, WEEKS, MONTHS or YEARS",
            Self::Pattern => "a pattern such as \"yyyy-MM-dd HH:mm\"",
            Self::Language => "one of the languages de, en, es, fr",
            Self::Condition => "a condition such as \"$session.params.size > 3\"",
            Self::Path => "a JSONPath in quotes such as \"$[?@.price < 10]\"",
        }
    }

    /// The value, if it is of this kind; an unset one is empty where there is an empty one.
    pub(super) fn take(self, value: Value) -> Option<Value> {
        let fits = match (self, &value) {
            (Self::Text, Value::Null) => return Some(Value::String(String::new())),
            (Self::List, Value::Null) => return Some(Value::Array(Vec::new())),
            (Self::Object, Value::Null) => return Some(Value::Object(serde_json::Map::new())),
            (Self::Any | Self::Named, _) => true,
            (Self::Text, value) => value.is_string(),
            (Self::Number, value) => value.is_number(),
            (Self::Index, value) => index(value).is_some(),
            (Self::Boolean | Self::Condition, value) => value.is_boolean(),
            (Self::List, value) => value.is_array(),
            (Self::Object, value) => value.is_object(),
            (Self::Date, value) => date::When::read(value).is_some(),
            (Self::Unit, Value::String(text)) => date::Unit::read(text).is_some(),
            (Self::Pattern, Value::String(text)) => Pattern::parse(text).is_ok(),
            (Self::Language, Value::String(text)) => language::named(text).is_some(),
            (Self::Path, value) => value.is_string(),
            (Self::Unit | Self::Pattern | Self::Language, _) => false,
        };
        fits.then_some(value)
    }

    /// Whether what a function gives can stand where this is asked for. `Any` may turn out to be right.
    pub(super) fn may_be(self, given: Self) -> bool {
        match (self, given) {
            (Self::Path, _) => false,
            (_, Self::Any) | (Self::Any | Self::Named, _) => true,
            (Self::Number | Self::Index, Self::Number | Self::Index) => true,
            (Self::Condition, Self::Boolean) => true,
            (Self::Date, Self::Text | Self::Object) => true,
            (Self::Unit | Self::Pattern | Self::Language, Self::Text) => true,
            (asked, given) => asked == given,
        }
    }
}

/// A whole number from 0 on, also when it is written `3.0`.
pub(super) fn index(value: &Value) -> Option<usize> {
    match value.as_u64() {
        Some(index) => usize::try_from(index).ok(),
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole, not negative and below 2^32")]
        None => value.as_f64().filter(|n| n.fract() == 0.0 && (0.0..4_294_967_296.0).contains(n)).map(|n| n as usize),
    }
}

/// How a function is done. Arguments come checked: as many as there may be, each of its kind.
#[derive(Clone, Copy)]
pub(super) enum Run {
    Plain(fn(&[Value]) -> Result<Value, String>),
    Timed(fn(&[Value], Timestamp) -> Result<Value, String>),
    Random(fn([u8; 32]) -> Value),
    If,
    Filter,
}

/// Looks at the arguments that are written out; the others are `None`.
type Check = fn(&[Option<&Value>]) -> Result<(), String>;

/// A function.
pub(super) struct Signature {
    pub name: &'static str,
    /// What must be given.
    pub needs: &'static [Kind],
    /// What may follow.
    pub takes: &'static [Kind],
    /// What may follow as often as one likes.
    pub more: Option<Kind>,
    pub gives: Kind,
    pub run: Run,
    /// What can be wrong with arguments that are of their kinds, as far as it is seen when they are written.
    pub check: Option<Check>,
}

impl PartialEq for Signature {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Signature {
    /// What argument `index` is to be.
    pub(super) fn kind(&self, index: usize) -> Kind {
        self.needs.iter().chain(self.takes).nth(index).copied().or(self.more).unwrap_or(Any)
    }

    /// Whether it takes so many arguments; if not, what would be right.
    pub(super) fn takes_count(&self, count: usize) -> Result<(), String> {
        let (least, most) = (self.needs.len(), self.needs.len() + self.takes.len());
        if count >= least && (self.more.is_some() || count <= most) {
            return Ok(());
        }
        let plural = |n: usize| if n == 1 { "1 argument".to_owned() } else { format!("{n} arguments") };
        let right = match (self.more.is_some(), least == most) {
            (true, _) => format!("at least {}", plural(least)),
            (false, true) => plural(least),
            (false, false) => format!("{least} to {}", plural(most)),
        };
        Err(format!("`{}` takes {right}, not {count}", self.name))
    }
}

/// The function of that name. `rand` is an old spelling Dialogflow keeps.
pub(super) fn find(name: &str) -> Option<&'static Signature> {
    let name = if name == "rand" { "RAND" } else { name };
    FUNCTIONS.iter().find(|signature| signature.name == name)
}

/// All names.
pub(super) fn names() -> impl Iterator<Item = &'static str> + Clone {
    FUNCTIONS.iter().map(|signature| signature.name)
}

const fn plain(
    name: &'static str,
    needs: &'static [Kind],
    takes: &'static [Kind],
    more: Option<Kind>,
    gives: Kind,
    run: fn(&[Value]) -> Result<Value, String>,
) -> Signature {
    Signature { name, needs, takes, more, gives, run: Run::Plain(run), check: None }
}

const fn other(name: &'static str, needs: &'static [Kind], gives: Kind, run: Run) -> Signature {
    Signature { name, needs, takes: &[], more: None, gives, run, check: None }
}

use Kind::{Any, Boolean, Condition, Date, Index, Language, List, Named, Number, Object, Path, Text, Unit};

static FUNCTIONS: [Signature; 40] = [
    // Numbers.
    plain("ADD", &[Number], &[], Some(Number), Number, number::add),
    plain("MINUS", &[Number, Number], &[], None, Number, number::minus),
    plain("MULTIPLY", &[Number], &[], Some(Number), Number, number::multiply),
    Signature { check: Some(number::check_divide), ..plain("DIVIDE", &[Number, Number], &[Index], None, Number, number::divide) },
    plain("ROUND", &[Number], &[Index], None, Number, number::round),
    other("RAND", &[], Number, Run::Random(number::rand)),
    // Text.
    plain("CONCATENATE", &[Any], &[], Some(Any), Text, text::concatenate),
    plain("LEN", &[Text], &[], None, Number, text::len),
    plain("LOWER", &[Text], &[], None, Text, text::lower),
    plain("UPPER", &[Text], &[], None, Text, text::upper),
    plain("MID", &[Text, Index, Index], &[], None, Text, text::mid),
    plain("SUBSTITUTE", &[Text, Text, Text], &[], None, Text, text::substitute),
    plain("SPLIT", &[Text, Text], &[], None, List, text::split),
    plain("JOIN", &[Text, List], &[Text], None, Text, text::join),
    plain("URL_ENCODE", &[Text], &[], None, Text, text::url_encode),
    other("UUID", &[], Text, Run::Random(text::uuid)),
    // Lists.
    plain("APPEND", &[List, Any], &[], Some(Any), List, list::append),
    plain("REMOVE", &[List, Any], &[], Some(Any), List, list::remove),
    plain("UNIQUE", &[List], &[], None, List, list::unique),
    plain("COUNT", &[List], &[], None, Number, list::count),
    plain("GET", &[List, Index], &[], None, Any, list::get),
    Signature { check: Some(list::check_contain), ..plain("CONTAIN", &[Any, Any], &[], None, Boolean, list::contain) },
    plain("MATCH", &[List, Any], &[], None, Number, list::match_),
    // Objects.
    plain("GET_FIELD", &[Object, Text], &[], None, Any, object::get_field),
    plain("NESTED_FIELD", &[Named, Any], &[], Some(Any), Any, object::nested_field),
    other("FILTER", &[Named, Path], List, Run::Filter),
    plain("IDENTITY", &[Any], &[], None, Any, object::identity),
    // Dates.
    other("NOW", &[], Text, Run::Timed(date::now)),
    plain("ADD_DATE", &[Date, Number, Unit], &[], None, Text, date::add_date),
    plain("FORMAT_DATE", &[Date, Kind::Pattern], &[Language], None, Text, date::format_date),
    plain("IS_DATE", &[Any], &[], None, Boolean, date::is_date),
    other("IS_FUTURE_DATE", &[Date], Boolean, Run::Timed(date::is_future_date)),
    other("IS_PAST_DATE", &[Date], Boolean, Run::Timed(date::is_past_date)),
    // Types and checks.
    plain("TO_TEXT", &[Any], &[], None, Text, logic::to_text),
    plain("TO_NUMBER", &[Any], &[], None, Number, logic::to_number),
    plain("TO_OBJECT", &[Any], &[], None, Object, logic::to_object),
    plain("TO_PHONE_NUMBER", &[Text], &[], None, Text, logic::to_phone_number),
    plain("IS_PHONE_NUMBER", &[Any], &[], None, Boolean, logic::is_phone_number),
    plain("IS_CREDIT_CARD_NUMBER", &[Any], &[], None, Boolean, logic::is_credit_card_number),
    // Logic.
    other("IF", &[Condition, Any, Any], Any, Run::If),
];
