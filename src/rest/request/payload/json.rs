//! JSON bodies: which keys they have, found without building what they hold.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use bytes::Bytes;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::Payload;
use crate::rest::error::RequestError;

/// Reads an object, or an array of objects with equal keys. Any other value counts as an empty array.
pub(super) fn parse(body: &Bytes) -> Result<Payload, RequestError> {
    let malformed = || RequestError::InvalidBody("Empty or invalid json".to_owned());
    let text = str::from_utf8(body)
        .ok()
        .filter(|text| has_whole_surrogates(text));
    let text = text.ok_or_else(malformed)?;
    let first = text.trim_start_matches([' ', '\n', '\r', '\t']).bytes().next();
    let shape = if matches!(first, Some(b'{' | b'[')) {
        let mut json = serde_json::Deserializer::from_str(text);
        let shape = json.deserialize_any(Top);
        shape.and_then(|shape| json.end().map(|()| shape))
    } else {
        serde_json::from_str::<IgnoredAny>(text).map(|_| Shape::Array(Keys::None))
    };
    match shape {
        Ok(Shape::Object(keys)) => Ok(Payload::Json {
            raw: body.clone(),
            keys,
            is_object: true,
        }),
        Ok(Shape::Array(Keys::Equal(keys))) => Ok(Payload::Json {
            raw: body.clone(),
            keys,
            is_object: false,
        }),
        Ok(Shape::Array(Keys::None)) => Ok(empty_array()),
        Ok(Shape::Array(Keys::Different)) => {
            Err(RequestError::InvalidBody("All object keys must match".to_owned()))
        }
        Err(_) => Err(malformed()),
    }
}

/// `[]`: nothing to write.
pub(super) fn empty_array() -> Payload {
    Payload::Json {
        raw: Bytes::from_static(b"[]"),
        keys: BTreeSet::new(),
        is_object: false,
    }
}

/// An object of texts. Of several of one name the last counts.
pub(super) fn object(pairs: Vec<(String, String)>) -> Payload {
    let object: serde_json::Map<String, Value> = pairs
        .into_iter()
        .map(|(name, value)| (name, Value::String(value)))
        .collect();
    Payload::Json {
        keys: object.keys().cloned().collect(),
        raw: Value::Object(object).to_string().into(),
        is_object: true,
    }
}

/// Whether each `\uD8xx` has its second half. The scan below passes over values without looking into them.
fn has_whole_surrogates(text: &str) -> bool {
    let mut rest = text;
    let mut high = false;
    while let Some(at) = rest.find('\\') {
        if high && at > 0 {
            return false;
        }
        let escape = rest.get(at + 1..).unwrap_or_default();
        let digits = escape.strip_prefix('u').and_then(|digits| digits.get(..4));
        let unit = digits.and_then(|digits| u16::from_str_radix(digits, 16).ok());
        let low = matches!(unit, Some(0xDC00..=0xDFFF));
        if high != low {
            return false;
        }
        high = matches!(unit, Some(0xD800..=0xDBFF));
        let length = if unit.is_some() { 5 } else { 1 };
        rest = escape.get(length..).unwrap_or_default();
    }
    !high
}

enum Shape {
    Object(BTreeSet<String>),
    Array(Keys),
}

/// Keys of an array's objects.
enum Keys {
    /// There are no objects.
    None,
    /// Each has these.
    Equal(BTreeSet<String>),
    /// They differ, or there is something else than objects.
    Different,
}

/// The body's value: an object or an array.
struct Top;

impl<'de> Visitor<'de> for Top {
    type Value = Shape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or an array")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Shape, A::Error> {
        let mut keys = BTreeSet::new();
        while let Some(key) = map.next_key_seed(Key)? {
            map.next_value::<IgnoredAny>()?;
            keys.insert(key.into_owned());
        }
        Ok(Shape::Object(keys))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Shape, A::Error> {
        let mut first = FirstKeys::default();
        let Some(is_object) = seq.next_element_seed(First(&mut first))? else {
            return Ok(Shape::Array(Keys::None));
        };
        let mut equal = is_object;
        while equal {
            match seq.next_element_seed(Next(&first))? {
                Some(same) => equal = same,
                None => return Ok(Shape::Array(Keys::Equal(first.set))),
            }
        }
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Shape::Array(Keys::Different))
    }
}

/// The first object's keys, as they came and as a set.
#[derive(Default)]
struct FirstKeys {
    ordered: Vec<String>,
    set: BTreeSet<String>,
}

/// An array's first element: takes its keys down, answers whether it is an object.
struct First<'k>(&'k mut FirstKeys);

/// Another element: answers whether it is an object with the first one's keys.
struct Next<'k>(&'k FirstKeys);

/// Implements an element that may be anything, but counts only if it is an object.
macro_rules! element {
    ($element:ident, $visit:expr) => {
        impl<'de> DeserializeSeed<'de> for $element<'_> {
            type Value = bool;

            fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
                deserializer.deserialize_any(self)
            }
        }

        impl<'de> Visitor<'de> for $element<'_> {
            type Value = bool;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any value")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<bool, A::Error> {
                let visit: fn(Self, A) -> Result<bool, A::Error> = $visit;
                visit(self, map)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<bool, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(false)
            }

            fn visit_bool<E>(self, _: bool) -> Result<bool, E> {
                Ok(false)
            }

            fn visit_i64<E>(self, _: i64) -> Result<bool, E> {
                Ok(false)
            }

            fn visit_u64<E>(self, _: u64) -> Result<bool, E> {
                Ok(false)
            }

            fn visit_f64<E>(self, _: f64) -> Result<bool, E> {
                Ok(false)
            }

            fn visit_str<E>(self, _: &str) -> Result<bool, E> {
                Ok(false)
            }

            fn visit_unit<E>(self) -> Result<bool, E> {
                Ok(false)
            }
        }
    };
}

element!(First, |first, mut map| {
    while let Some(key) = map.next_key_seed(Key)? {
        map.next_value::<IgnoredAny>()?;
        first.0.set.insert(key.clone().into_owned());
        first.0.ordered.push(key.into_owned());
    }
    Ok(true)
});

element!(Next, |next, mut map| {
    let first = next.0;
    let mut count = 0;
    // Almost always the keys come in the first object's order, and a comparison each is enough.
    let differing = loop {
        let Some(key) = map.next_key_seed(Key)? else {
            break None;
        };
        map.next_value::<IgnoredAny>()?;
        if first.ordered.get(count).is_none_or(|first| *first != key) {
            break Some(key);
        }
        count += 1;
    };
    if differing.is_none() && count == first.ordered.len() {
        return Ok(true);
    }
    let mut equal = true;
    let mut seen: BTreeSet<&str> = first.ordered.iter().take(count).map(String::as_str).collect();
    let Some(mut key) = differing else {
        return Ok(seen.len() == first.set.len());
    };
    loop {
        match first.set.get(key.as_ref()) {
            Some(known) => {
                seen.insert(known);
            }
            None => equal = false,
        }
        let Some(next) = map.next_key_seed(Key)? else {
            return Ok(equal && seen.len() == first.set.len());
        };
        map.next_value::<IgnoredAny>()?;
        key = next;
    }
});

/// A key, borrowed from the body unless it has escapes.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cow<'de, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(key))
    }

    fn visit_str<E>(self, key: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(key.to_owned()))
    }
}
