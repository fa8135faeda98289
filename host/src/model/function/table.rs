//! Every function: what it takes, what it gives, where it is done.

use jiff::Timestamp;
use serde_json::Value;

use super::{date, format, kind::Kind, list, logic, number, object, text};

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

    /// Whether it takes this number of arguments; if not, the right number.
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
    plain("FORMAT_DATE", &[Date, Kind::Pattern], &[Language], None, Text, format::format_date),
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
