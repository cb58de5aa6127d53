//! Reading JSON whose objects have each field once.
//!
//! Of a field that is given twice one value would win silently, and which one is
//! another matter for every reader: what Azure enforces could be the other.

use std::cell::RefCell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::error::{FieldError, excerpt};

/// Reads a JSON text.
///
/// # Errors
/// [`FieldError`] for what is not JSON, or has a field twice in one object.
pub fn parse_json(text: &str) -> Result<Value, FieldError> {
    let repeated = RefCell::new(None);
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let once = Once {
        repeated: &repeated,
    };
    let read = once.deserialize(&mut deserializer);
    let read = read.and_then(|value| deserializer.end().map(|()| value));
    read.map_err(|error| match repeated.take() {
        Some(field) => FieldError::Repeated {
            place: format!("line {} column {}", error.line(), error.column()),
            field,
        },
        None => FieldError::Json {
            message: excerpt(&error.to_string()),
        },
    })
}

/// Reads one value; a field that is given twice is kept for the message.
#[derive(Clone, Copy)]
struct Once<'a> {
    repeated: &'a RefCell<Option<String>>,
}

impl<'de> DeserializeSeed<'de> for Once<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Once<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(field) = fields.next_key::<String>()? {
            if object.contains_key(&field) {
                *self.repeated.borrow_mut() = Some(excerpt(&field));
                return Err(A::Error::custom("a field is given twice"));
            }
            let value = fields.next_value_seed(self)?;
            object.insert(field, value);
        }
        Ok(Value::Object(object))
    }
}
