//! Records of the interface as objects, and objects as records. The names are those `engine.js` uses.

use crate::{
    bindings::hookwright::{
        plugin::{
            events::Emission,
            types::{Answer, Binding, Delivery, Error, Event, Invocation, Outcome, Reply, Request},
            webhooks::Invoked,
        },
        script::host,
    },
    js::{Thrown, Value},
};

/// What becomes a JavaScript value.
pub trait ToJs {
    /// The value.
    fn to_js(&self) -> Result<Value, Thrown>;
}

/// What can be read from a JavaScript value.
pub trait FromJs: Sized {
    /// What it says.
    fn from_js(value: &Value) -> Result<Self, Thrown>;
}

impl ToJs for String {
    fn to_js(&self) -> Result<Value, Thrown> {
        Value::text(self)
    }
}

impl ToJs for bool {
    fn to_js(&self) -> Result<Value, Thrown> {
        Ok(Value::boolean(*self))
    }
}

impl ToJs for u16 {
    fn to_js(&self) -> Result<Value, Thrown> {
        Ok(Value::number(f64::from(*self)))
    }
}

impl ToJs for u32 {
    fn to_js(&self) -> Result<Value, Thrown> {
        Ok(Value::number(f64::from(*self)))
    }
}

impl ToJs for u64 {
    fn to_js(&self) -> Result<Value, Thrown> {
        // Times in milliseconds: exact for as long as JavaScript's own are.
        Ok(Value::number(*self as f64))
    }
}

impl<T: ToJs> ToJs for Option<T> {
    fn to_js(&self) -> Result<Value, Thrown> {
        self.as_ref().map_or(Ok(Value::NULL), T::to_js)
    }
}

/// Bytes are not a list of numbers.
impl ToJs for Vec<u8> {
    fn to_js(&self) -> Result<Value, Thrown> {
        Value::bytes(self)
    }
}

impl ToJs for Vec<(String, String)> {
    fn to_js(&self) -> Result<Value, Thrown> {
        Value::list(self.iter().map(|(name, value)| Value::list([name.to_js(), value.to_js()])))
    }
}

impl ToJs for Vec<Event> {
    fn to_js(&self) -> Result<Value, Thrown> {
        Value::list(self.iter().map(ToJs::to_js))
    }
}

/// An object of these fields, under these names.
macro_rules! object {
    ($record:ident: $($name:literal $field:ident),+ $(,)?) => {{
        let object = Value::object()?;
        $(object.set($name, $record.$field.to_js()?)?;)+
        Ok(object)
    }};
}

impl ToJs for Delivery {
    fn to_js(&self) -> Result<Value, Thrown> {
        object!(self: c"id" id, c"webhookId" webhook_id, c"webhookName" webhook_name, c"session" session, c"environment" environment,
            c"context" context, c"nowMs" now_ms)
    }
}

impl ToJs for Event {
    fn to_js(&self) -> Result<Value, Thrown> {
        object!(self: c"id" id, c"trigger" trigger, c"source" source, c"timeMs" time_ms, c"session" session, c"environment" environment,
            c"attributes" attributes, c"data" data)
    }
}

impl ToJs for Answer {
    fn to_js(&self) -> Result<Value, Thrown> {
        object!(self: c"status" status, c"headers" headers, c"body" body)
    }
}

impl ToJs for Invocation {
    fn to_js(&self) -> Result<Value, Thrown> {
        object!(self: c"callId" call_id, c"receiverName" receiver_name, c"caller" caller, c"session" session, c"environment" environment,
            c"method" method, c"path" path, c"query" query, c"parameters" parameters, c"headers" headers, c"body" body,
            c"verified" verified, c"remoteAddress" remote_address, c"nowMs" now_ms)
    }
}

impl ToJs for Invoked {
    fn to_js(&self) -> Result<Value, Thrown> {
        object!(self: c"delivered" delivered, c"httpStatus" http_status, c"errorEvent" error_event, c"parameters" parameters,
            c"output" output)
    }
}

impl FromJs for String {
    fn from_js(value: &Value) -> Result<Self, Thrown> {
        value.to_text()
    }
}

impl FromJs for u16 {
    fn from_js(value: &Value) -> Result<Self, Thrown> {
        Ok(value.to_number()? as Self)
    }
}

impl FromJs for u64 {
    fn from_js(value: &Value) -> Result<Self, Thrown> {
        Ok(value.to_number()? as Self)
    }
}

impl<T: FromJs> FromJs for Option<T> {
    fn from_js(value: &Value) -> Result<Self, Thrown> {
        if value.is_nothing() { Ok(None) } else { T::from_js(value).map(Some) }
    }
}

impl FromJs for Vec<u8> {
    fn from_js(value: &Value) -> Result<Self, Thrown> {
        value.to_bytes()
    }
}

impl<T: FromJs> FromJs for Vec<(String, T)> {
    fn from_js(value: &Value) -> Result<Self, Thrown> {
        let pair = |pair: &Value| match pair.items()?.as_slice() {
            [name, value] => Ok((name.to_text()?, T::from_js(value)?)),
            _ => Err(Thrown::text("a pair has a name and a value")),
        };
        value.items()?.iter().map(pair).collect()
    }
}

impl FromJs for Vec<Binding> {
    fn from_js(value: &Value) -> Result<Self, Thrown> {
        value.items()?.iter().map(Binding::from_js).collect()
    }
}

/// A record of these fields of an object.
macro_rules! record {
    ($name:ident from $value:ident: $($field:ident $property:literal),+ $(,)?) => {
        Ok($name { $($field: FromJs::from_js(&$value.get($property)?)?,)+ })
    };
}

impl FromJs for Binding {
    fn from_js(value: &Value) -> Result<Self, Thrown> {
        record!(Binding from value: parameter c"parameter", path c"path")
    }
}

impl FromJs for Request {
    fn from_js(value: &Value) -> Result<Self, Thrown> {
        record!(Request from value: method c"method", path_and_query c"pathAndQuery", headers c"headers", content_type c"contentType",
            body c"body", bindings c"bindings")
    }
}

impl FromJs for Outcome {
    fn from_js(value: &Value) -> Result<Self, Thrown> {
        record!(Outcome from value: parameters c"parameters", output c"output")
    }
}

impl FromJs for Reply {
    fn from_js(value: &Value) -> Result<Self, Thrown> {
        record!(Reply from value: status c"status", headers c"headers", body c"body")
    }
}

impl FromJs for Emission {
    fn from_js(value: &Value) -> Result<Self, Thrown> {
        record!(Emission from value: trigger c"trigger", source c"source", time_ms c"timeMs", data c"data", session c"session",
            environment c"environment", attributes c"attributes")
    }
}

/// What `engine.js` throws: `{tag, val}`. Anything else was thrown where it could not be caught, such as when memory runs out. Of what is
/// neither `rejected` nor `retry-later` the host is told before, for the public contract has no word for it.
pub fn error(thrown: &Thrown) -> Error {
    let read = || Ok::<_, Thrown>((thrown.0.get(c"tag")?.to_text()?, thrown.0.get(c"val")?.to_text()?));
    match read() {
        Ok((tag, text)) if tag == "retry-later" => Error::RetryLater(text),
        Ok((tag, text)) if tag == "rejected" => Error::Rejected(text),
        Ok((_, text)) => threw(text),
        Err(_) => threw(thrown.describe()),
    }
}

fn threw(text: String) -> Error {
    host::threw(&text);
    Error::Rejected(text)
}
