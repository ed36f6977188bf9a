//! JSON from outside, with the place of everything in it: an error says which field, what was found, and what would be right.

use crate::failure::Failure;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Number;
use std::collections::HashSet;
use std::fmt;

/// A value. Objects keep their order; a key that is there twice is refused.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Json {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Self>),
    Object(Vec<(String, Self)>),
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Json;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }

            fn visit_unit<E>(self) -> Result<Json, E> {
                Ok(Json::Null)
            }

            fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
                Ok(Json::Bool(value))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
                Ok(Json::Number(value.into()))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
                Ok(Json::Number(value.into()))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
                Ok(Number::from_f64(value).map_or(Json::Null, Json::Number))
            }

            fn visit_str<E>(self, text: &str) -> Result<Json, E> {
                Ok(Json::Text(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    list.push(item);
                }
                Ok(Json::List(list))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Json, A::Error> {
                let (mut object, mut keys) = (Vec::new(), HashSet::new());
                while let Some((key, value)) = entries.next_entry::<String, Json>()? {
                    if !keys.insert(key.clone()) {
                        return Err(A::Error::custom(format_args!("the key {} is there twice", short(&key))));
                    }
                    object.push((key, value));
                }
                Ok(Json::Object(object))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

/// What was found, in a few words.
impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Number(number) => write!(f, "the number {number}"),
            Self::Text(text) => write!(f, "the text {}", short(text)),
            Self::List(list) => write!(f, "a list of {}", list.len()),
            Self::Object(object) => write!(f, "an object of {} fields", object.len()),
        }
    }
}

/// Text from outside, quoted, escaped and cut.
pub(super) fn short(text: &str) -> String {
    const MOST: usize = 40;
    match text.char_indices().nth(MOST) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}..", &text[..end]),
    }
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct At<'a> {
    path: String,
    json: &'a Json,
}

impl<'a> At<'a> {
    pub(super) fn new(path: String, json: &'a Json) -> Self {
        Self { path, json }
    }

    /// Refuses this value: `right` is what it should be.
    pub(super) fn refuse(&self, right: impl fmt::Display) -> Failure {
        Failure::Usage(format!("{}: found {}; must be {right}", self.path, self.json))
    }

    /// Refuses it, with words that say what was found: values that should be seeds are not printed.
    pub(super) fn complain(&self, complaint: impl fmt::Display) -> Failure {
        Failure::Usage(format!("{}: {complaint}", self.path))
    }

    pub(super) fn object(&self, right: &str) -> Result<&'a [(String, Json)], Failure> {
        match self.json {
            Json::Object(entries) => Ok(entries),
            _ => Err(self.refuse(right)),
        }
    }

    pub(super) fn list(&self, right: &str) -> Result<Vec<Self>, Failure> {
        let Json::List(items) = self.json else { return Err(self.refuse(right)) };
        let item = |(index, json)| Self { path: format!("{}[{index}]", self.path), json };
        Ok(items.iter().enumerate().map(item).collect())
    }

    /// A field that must be there.
    pub(super) fn field(&self, name: &str, right: &str) -> Result<Self, Failure> {
        let entries = self.object("an object")?;
        let found = entries.iter().find(|(key, _)| key == name).map(|(_, json)| json);
        let path = format!("{}.{name}", self.path);
        found
            .map(|json| Self { path: path.clone(), json })
            .ok_or_else(|| Failure::Usage(format!("{path} is missing; must be {right}")))
    }

    pub(super) fn integer(&self, most: u64, right: &str) -> Result<u64, Failure> {
        let Json::Number(number) = self.json else { return Err(self.refuse(right)) };
        number.as_u64().filter(|&value| value <= most).ok_or_else(|| self.refuse(right))
    }

    pub(super) fn word(&self, right: &str) -> Result<u32, Failure> {
        // Not above u32::MAX, as asked for.
        Ok(self.integer(u32::MAX.into(), right)? as u32)
    }

    pub(super) fn text(&self) -> Option<&'a str> {
        match self.json {
            Json::Text(text) => Some(text),
            _ => None,
        }
    }

    /// What kind of value it is, without its content.
    pub(super) fn kind(&self) -> String {
        match self.json {
            Json::Text(text) => format!("a text of {} characters", text.chars().count()),
            Json::Number(_) => "a number".to_owned(),
            other => other.to_string(),
        }
    }
}
