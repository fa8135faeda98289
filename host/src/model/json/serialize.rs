//! Makes a [`Json`] of whatever serde writes, without loss.

use std::fmt;

use serde::{Serialize, Serializer, ser};

use super::{Json, Number, Object, in_serde::RAW};

/// `document` as a value: `serde_json::to_value` that loses no number. What cannot be JSON, such as a map whose keys are lists, is `null`.
pub fn json_of<T: Serialize + ?Sized>(document: &T) -> Json {
    document.serialize(Writer).unwrap_or_default()
}

/// Why something is no JSON.
#[derive(Debug)]
struct Unwritable(String);

impl fmt::Display for Unwritable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unwritable {}

impl ser::Error for Unwritable {
    fn custom<T: fmt::Display>(detail: T) -> Self {
        Self(detail.to_string())
    }
}

struct Writer;

/// A list that is being made; `of` is the variant it belongs to.
struct List {
    of: Option<&'static str>,
    items: Vec<Json>,
}

/// An object that is being made; `of` is the variant it belongs to.
struct Members {
    of: Option<&'static str>,
    members: Object,
    name: String,
}

/// A struct that is being made: members, or a value whose text is handed over.
enum Struct {
    Members(Members),
    Raw(Json),
}

fn under(of: Option<&'static str>, value: Json) -> Json {
    match of {
        Some(variant) => Json::object([(variant, value)]),
        None => value,
    }
}

impl List {
    fn push<T: Serialize + ?Sized>(&mut self, item: &T) -> Result<(), Unwritable> {
        self.items.push(item.serialize(Writer)?);
        Ok(())
    }

    fn done(self) -> Json {
        under(self.of, Json::Array(self.items))
    }
}

impl Members {
    fn new(of: Option<&'static str>) -> Self {
        Self { of, members: Object::new(), name: String::new() }
    }

    fn set<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), Unwritable> {
        self.members.insert(name, value.serialize(Writer)?);
        Ok(())
    }

    fn done(self) -> Json {
        under(self.of, Json::Object(self.members))
    }
}

impl Serializer for Writer {
    type Ok = Json;
    type Error = Unwritable;
    type SerializeSeq = List;
    type SerializeTuple = List;
    type SerializeTupleStruct = List;
    type SerializeTupleVariant = List;
    type SerializeMap = Members;
    type SerializeStruct = Struct;
    type SerializeStructVariant = Members;

    fn serialize_bool(self, is: bool) -> Result<Json, Unwritable> {
        Ok(is.into())
    }

    fn serialize_i8(self, whole: i8) -> Result<Json, Unwritable> {
        Ok(i64::from(whole).into())
    }

    fn serialize_i16(self, whole: i16) -> Result<Json, Unwritable> {
        Ok(i64::from(whole).into())
    }

    fn serialize_i32(self, whole: i32) -> Result<Json, Unwritable> {
        Ok(whole.into())
    }

    fn serialize_i64(self, whole: i64) -> Result<Json, Unwritable> {
        Ok(whole.into())
    }

    fn serialize_u8(self, whole: u8) -> Result<Json, Unwritable> {
        Ok(whole.into())
    }

    fn serialize_u16(self, whole: u16) -> Result<Json, Unwritable> {
        Ok(whole.into())
    }

    fn serialize_u32(self, whole: u32) -> Result<Json, Unwritable> {
        Ok(whole.into())
    }

    fn serialize_u64(self, whole: u64) -> Result<Json, Unwritable> {
        Ok(whole.into())
    }

    fn serialize_i128(self, whole: i128) -> Result<Json, Unwritable> {
        Ok(Number::of_grammar(&whole.to_string()).into())
    }

    fn serialize_u128(self, whole: u128) -> Result<Json, Unwritable> {
        Ok(Number::of_grammar(&whole.to_string()).into())
    }

    fn serialize_f32(self, single: f32) -> Result<Json, Unwritable> {
        // As text: the double next to 0.1 has more digits.
        Ok(Number::parse(&single.to_string()).map_or(Json::Null, Json::Number))
    }

    fn serialize_f64(self, double: f64) -> Result<Json, Unwritable> {
        Ok(double.into())
    }

    fn serialize_char(self, character: char) -> Result<Json, Unwritable> {
        Ok(character.to_string().into())
    }

    fn serialize_str(self, text: &str) -> Result<Json, Unwritable> {
        Ok(text.into())
    }

    fn serialize_bytes(self, bytes: &[u8]) -> Result<Json, Unwritable> {
        Ok(bytes.iter().copied().collect())
    }

    fn serialize_none(self) -> Result<Json, Unwritable> {
        Ok(Json::Null)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Json, Unwritable> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<Json, Unwritable> {
        Ok(Json::Null)
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<Json, Unwritable> {
        Ok(Json::Null)
    }

    fn serialize_unit_variant(self, _name: &'static str, _index: u32, variant: &'static str) -> Result<Json, Unwritable> {
        Ok(variant.into())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _name: &'static str, value: &T) -> Result<Json, Unwritable> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<Json, Unwritable> {
        Ok(under(Some(variant), value.serialize(self)?))
    }

    fn serialize_seq(self, _length: Option<usize>) -> Result<List, Unwritable> {
        Ok(List { of: None, items: Vec::new() })
    }

    fn serialize_tuple(self, length: usize) -> Result<List, Unwritable> {
        self.serialize_seq(Some(length))
    }

    fn serialize_tuple_struct(self, _name: &'static str, length: usize) -> Result<List, Unwritable> {
        self.serialize_seq(Some(length))
    }

    fn serialize_tuple_variant(self, _name: &'static str, _index: u32, variant: &'static str, _length: usize) -> Result<List, Unwritable> {
        Ok(List { of: Some(variant), items: Vec::new() })
    }

    fn serialize_map(self, _length: Option<usize>) -> Result<Members, Unwritable> {
        Ok(Members::new(None))
    }

    fn serialize_struct(self, name: &'static str, _length: usize) -> Result<Struct, Unwritable> {
        Ok(if name == RAW { Struct::Raw(Json::Null) } else { Struct::Members(Members::new(None)) })
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _length: usize,
    ) -> Result<Members, Unwritable> {
        Ok(Members::new(Some(variant)))
    }
}

impl ser::SerializeSeq for List {
    type Ok = Json;
    type Error = Unwritable;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, item: &T) -> Result<(), Unwritable> {
        self.push(item)
    }

    fn end(self) -> Result<Json, Unwritable> {
        Ok(self.done())
    }
}

impl ser::SerializeTuple for List {
    type Ok = Json;
    type Error = Unwritable;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, item: &T) -> Result<(), Unwritable> {
        self.push(item)
    }

    fn end(self) -> Result<Json, Unwritable> {
        Ok(self.done())
    }
}

impl ser::SerializeTupleStruct for List {
    type Ok = Json;
    type Error = Unwritable;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, item: &T) -> Result<(), Unwritable> {
        self.push(item)
    }

    fn end(self) -> Result<Json, Unwritable> {
        Ok(self.done())
    }
}

impl ser::SerializeTupleVariant for List {
    type Ok = Json;
    type Error = Unwritable;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, item: &T) -> Result<(), Unwritable> {
        self.push(item)
    }

    fn end(self) -> Result<Json, Unwritable> {
        Ok(self.done())
    }
}

impl ser::SerializeMap for Members {
    type Ok = Json;
    type Error = Unwritable;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, name: &T) -> Result<(), Unwritable> {
        self.name = match name.serialize(Writer)? {
            Json::String(text) => text,
            Json::Number(number) => number.to_string(),
            Json::Bool(is) => is.to_string(),
            _ => return Err(ser::Error::custom("a member's name must be a text")),
        };
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unwritable> {
        let name = std::mem::take(&mut self.name);
        self.set(&name, value)
    }

    fn end(self) -> Result<Json, Unwritable> {
        Ok(self.done())
    }
}

impl ser::SerializeStruct for Struct {
    type Ok = Json;
    type Error = Unwritable;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Unwritable> {
        match self {
            Self::Members(members) => members.set(name, value),
            Self::Raw(raw) => {
                let text = value.serialize(Writer)?;
                *raw = Json::parse(text.as_str().unwrap_or_default().as_bytes()).map_err(ser::Error::custom)?;
                Ok(())
            }
        }
    }

    fn end(self) -> Result<Json, Unwritable> {
        Ok(match self {
            Self::Members(members) => members.done(),
            Self::Raw(value) => value,
        })
    }
}

impl ser::SerializeStructVariant for Members {
    type Ok = Json;
    type Error = Unwritable;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Unwritable> {
        self.set(name, value)
    }

    fn end(self) -> Result<Json, Unwritable> {
        Ok(self.done())
    }
}
