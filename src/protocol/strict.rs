//! The slow reading of a text that was refused, to say what is wrong with it: a `Value`, and the places where
//! an object names a key twice, which no `Value` can show. And the depth limit, checked before any parser runs.

use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// How deep objects and arrays may be nested; the outermost counts as one (docs/PROTOCOL.md §1).
pub const MAX_DEPTH: usize = 32;

/// Whether `text` nests deeper than [`MAX_DEPTH`]. Brackets in strings do not count.
pub(crate) fn too_deep(text: &str) -> bool {
    let bytes = text.as_bytes();
    // Almost every frame has fewer brackets than that altogether.
    if opening_brackets(bytes) <= MAX_DEPTH {
        return false;
    }
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return true;
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

/// Counts in bytes, of which a vector holds many: ten times as fast as counting in words.
fn opening_brackets(bytes: &[u8]) -> usize {
    // `{` is `[` with one bit more.
    let count = |chunk: &[u8]| chunk.iter().map(|byte| u8::from(byte | 0x20 == b'{')).sum::<u8>();
    // As many whole vectors as a byte can count.
    bytes.chunks(240).map(|chunk| usize::from(count(chunk))).sum()
}

/// Reads `text` with JSON's own rules. Of a key that comes twice, the last value stays; `duplicates` holds
/// the pointers of the objects that have one, each at most once per key, no more than `limit` of them.
pub(crate) fn read(text: &str, limit: usize) -> Result<(Value, Vec<String>), serde_json::Error> {
    let mut found = Found { pointer: String::new(), duplicates: Vec::new(), limit };
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = Any(&mut found).deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok((value, found.duplicates))
}

struct Found {
    pointer: String,
    duplicates: Vec<String>,
    limit: usize,
}

impl Found {
    fn inside<T>(&mut self, token: &str, read: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.pointer.len();
        self.pointer.push('/');
        self.pointer.push_str(&token.replace('~', "~0").replace('/', "~1"));
        let result = read(self);
        self.pointer.truncate(length);
        result
    }
}

struct Any<'a>(&'a mut Found);

impl<'de> DeserializeSeed<'de> for Any<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Any<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = self.0.inside(&items.len().to_string(), |found| seq.next_element_seed(Any(found)))? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            let value = self.0.inside(&key, |found| map.next_value_seed(Any(found)))?;
            if fields.insert(key, value).is_some() && self.0.duplicates.len() < self.0.limit {
                self.0.duplicates.push(self.0.pointer.clone());
            }
        }
        Ok(Value::Object(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_counts_brackets_outside_strings() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        for (text, deep) in [
            (nested(32), false),
            (nested(33), true),
            (format!("[{}]", vec!["[]"; 100].join(",")), false),
            (format!("[\"{}\"]", "[".repeat(100)), false),
            (format!("[\"\\\"{}\"]", "[".repeat(100)), false),
            (format!("[\"\\\\\",{}]", nested(32)), true),
            ("]".repeat(100) + &nested(32), false),
        ] {
            assert_eq!(too_deep(&text), deep, "{text}");
        }
    }

    #[test]
    fn duplicates_are_found_where_they_are() {
        let (value, duplicates) = read(r#"{"a":[{"b":1,"\u0062":2}],"a/b":{"c":1,"c":2,"c":3}}"#, 32).expect("JSON");
        assert_eq!(duplicates, ["/a/0", "/a~1b", "/a~1b"]);
        assert_eq!(value["a"][0]["b"], 2);
        assert_eq!(read(r#"{"a":1,"a":1,"a":1}"#, 1).expect("JSON").1.len(), 1);
        assert!(read("{} x", 1).is_err());
    }
}
