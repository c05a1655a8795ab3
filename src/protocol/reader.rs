//! [`read`]: JSON as clients write it, read fast. It knows only what is usual: whoever escapes by number, writes a
//! fraction, or puts a payload before its type is not understood here, and read by serde_json.
//!
//! Nothing depends on what it refuses. What it accepts, serde_json accepts with the same value: debug builds, and with
//! them every test, compare the two.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor},
    forward_to_deserialize_any,
};

/// Digits that an integer has at most here; a double holds them exactly.
const DIGITS: usize = 15;

/// Reads `text`; `None` when it is not usual, or not what `T` takes.
pub(super) fn read<'de, T: Deserialize<'de>>(text: &'de str) -> Option<T> {
    let mut reader = Reader { text, at: 0 };
    let value = T::deserialize(&mut reader).ok()?;
    reader.next().is_none().then_some(value)
}

/// That something is not read here. It says nothing: serde_json, which looks next, does.
#[derive(Debug)]
struct Unusual;

impl fmt::Display for Unusual {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not usual")
    }
}

impl std::error::Error for Unusual {}

impl de::Error for Unusual {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
    fn invalid_type(_: de::Unexpected<'_>, _: &dyn de::Expected) -> Self {
        Self
    }
    fn invalid_value(_: de::Unexpected<'_>, _: &dyn de::Expected) -> Self {
        Self
    }
    fn missing_field(_: &'static str) -> Self {
        Self
    }
    fn duplicate_field(_: &'static str) -> Self {
        Self
    }
}

struct Reader<'de> {
    text: &'de str,
    at: usize,
}

/// What stands between quotes.
enum Text<'de> {
    Plain(&'de str),
    /// It was written with escapes.
    Made(String),
}

impl<'de> Reader<'de> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The next byte that is no white space.
    fn next(&mut self) -> Option<u8> {
        loop {
            match self.peek() {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                other => return other,
            }
        }
    }

    fn take(&mut self, byte: u8) -> Result<(), Unusual> {
        if self.next() != Some(byte) {
            return Err(Unusual);
        }
        self.at += 1;
        Ok(())
    }

    fn string(&mut self) -> Result<Text<'de>, Unusual> {
        self.take(b'"')?;
        let start = self.at;
        self.at += plain(&self.text.as_bytes()[start..]);
        match self.peek() {
            Some(b'"') => {
                let text = &self.text[start..self.at];
                self.at += 1;
                Ok(Text::Plain(text))
            }
            Some(b'\\') => self.escaped(start).map(Text::Made),
            _ => Err(Unusual),
        }
    }

    /// The text that began at `start`, from its first escape on.
    fn escaped(&mut self, start: usize) -> Result<String, Unusual> {
        let bytes = self.text.as_bytes();
        let mut end = self.at;
        while *bytes.get(end).ok_or(Unusual)? == b'\\' {
            end += 2;
            end += plain(bytes.get(end..).ok_or(Unusual)?);
        }
        let mut text = String::with_capacity(end - start);
        let mut from = start;
        while self.at < end {
            text.push_str(&self.text[from..self.at]);
            text.push(match bytes[self.at + 1] {
                b'n' => '\n',
                b'"' => '"',
                b'\\' => '\\',
                b'/' => '/',
                b't' => '\t',
                b'r' => '\r',
                b'b' => '\u{8}',
                b'f' => '\u{c}',
                _ => return Err(Unusual),
            });
            from = self.at + 2;
            self.at = from + plain(&bytes[from..end]);
        }
        text.push_str(&self.text[from..end]);
        self.at = end + 1;
        if bytes[end] == b'"' { Ok(text) } else { Err(Unusual) }
    }

    fn integer(&mut self) -> Result<i64, Unusual> {
        let negative = self.next() == Some(b'-');
        self.at += usize::from(negative);
        let digits = self.text.as_bytes()[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let number = &self.text[self.at..self.at + digits];
        self.at += digits;
        let leading = digits > 1 && number.starts_with('0');
        if digits == 0 || digits > DIGITS || leading || matches!(self.peek(), Some(b'.' | b'e' | b'E')) {
            return Err(Unusual);
        }
        let number: i64 = number.parse().map_err(|_| Unusual)?;
        // `-0` is a fraction to serde_json.
        if negative && number == 0 { Err(Unusual) } else { Ok(if negative { -number } else { number }) }
    }

    fn word(&mut self, word: &str) -> Result<(), Unusual> {
        self.next();
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return Err(Unusual);
        }
        self.at += word.len();
        Ok(())
    }
}

/// Bytes before the first that ends a text, escapes, or may not stand in one. Eight at a time: in a byte that is looked
/// for, and in none below it, the highest bit of `found` is set.
fn plain(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGHEST: u64 = ONES << 7;
    let (words, rest) = bytes.as_chunks();
    for (at, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let below = |limit: u8, word: u64| word.wrapping_sub(ONES * u64::from(limit)) & !word;
        let is = |byte: u8| below(1, word ^ (ONES * u64::from(byte)));
        let found = (is(b'"') | is(b'\\') | below(b' ', word)) & HIGHEST;
        if found != 0 {
            return at * 8 + found.trailing_zeros() as usize / 8;
        }
    }
    let special = |byte: &u8| matches!(byte, b'"' | b'\\' | ..b' ');
    bytes.len() - rest.len() + rest.iter().position(special).unwrap_or(rest.len())
}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = Unusual;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Unusual> {
        Err(Unusual)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unusual> {
        self.take(b'{')?;
        visitor.visit_map(Items { reader: self, end: b'}', first: true, over: false })
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unusual> {
        self.take(b'[')?;
        visitor.visit_seq(Items { reader: self, end: b']', first: true, over: false })
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unusual> {
        match self.string()? {
            Text::Plain(text) => visitor.visit_borrowed_str(text),
            Text::Made(text) => visitor.visit_string(text),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unusual> {
        self.deserialize_str(visitor)
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unusual> {
        visitor.visit_i64(self.integer()?)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unusual> {
        let value = self.next() == Some(b't');
        self.word(if value { "true" } else { "false" })?;
        visitor.visit_bool(value)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Unusual> {
        match self.next() {
            Some(b'n') => {
                self.word("null")?;
                visitor.visit_none()
            }
            _ => visitor.visit_some(self),
        }
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct newtype_struct tuple
        tuple_struct struct enum identifier ignored_any
    }
}

/// What stands in an object or an array.
struct Items<'a, 'de> {
    reader: &'a mut Reader<'de>,
    end: u8,
    first: bool,
    over: bool,
}

impl Items<'_, '_> {
    /// Goes to the next item; `false` behind the last.
    fn step(&mut self) -> Result<bool, Unusual> {
        let next = self.reader.next();
        if self.over || next == Some(self.end) {
            self.reader.at += usize::from(!self.over);
            self.over = true;
            return Ok(false);
        }
        if !std::mem::take(&mut self.first) {
            self.reader.take(b',')?;
        }
        Ok(true)
    }
}

impl<'de> MapAccess<'de> for Items<'_, 'de> {
    type Error = Unusual;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Unusual> {
        if self.step()? { seed.deserialize(&mut *self.reader).map(Some) } else { Ok(None) }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Unusual> {
        self.reader.take(b':')?;
        seed.deserialize(&mut *self.reader)
    }
}

impl<'de> SeqAccess<'de> for Items<'_, 'de> {
    type Error = Unusual;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Unusual> {
        if self.step()? { seed.deserialize(&mut *self.reader).map(Some) } else { Ok(None) }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Every byte at every place of texts that end in a word, behind one, and between two.
    #[test]
    fn plain_text_ends_where_it_must() {
        for length in 0..20 {
            for at in 0..length {
                for byte in 0..=255 {
                    for fill in [b'a', b'!', 0x7f, 0xff] {
                        let mut bytes = vec![fill; length];
                        bytes[at] = byte;
                        let ends = byte < b' ' || byte == b'"' || byte == b'\\';
                        assert_eq!(plain(&bytes), if ends { at } else { length }, "{bytes:?}");
                    }
                }
            }
        }
    }

    fn check<'de, T: Deserialize<'de> + PartialEq + fmt::Debug>(text: &'de str, usual: bool) {
        let read = read::<T>(text);
        assert_eq!(read.is_some(), usual, "{text}");
        if usual {
            assert_eq!(read, serde_json::from_str(text).ok(), "{text}");
        }
    }

    #[test]
    fn what_is_usual_is_read_and_nothing_else() {
        for (usual, text) in [
            (true, r#""""#),
            (true, r#"  "a text that is longer than a word"  "#),
            (true, r#""\" \\ \/ \b\f\n\r\t""#),
            (true, r#""ends in \\""#),
            (true, "\"Zo\u{eb} \u{1f980} \u{7f}\""),
            (false, r#""\u0041""#),
            (false, r#""\x""#),
            (false, "\"\\\u{eb}\""),
            (false, "\"a\n\""),
            (false, "\"a\\n\n\""),
            (false, r#""open"#),
            (false, r#""open \"#),
            (false, r#""open \""#),
            (false, r#""one" "two""#),
            (false, "'a'"),
            (false, ""),
        ] {
            check::<String>(text, usual);
        }
        for (usual, text) in [
            (true, "0"),
            (true, " -7 "),
            (true, "123456789012345"),
            (false, "1234567890123456"),
            (false, "-0"),
            (false, "01"),
            (false, "-"),
            (false, "1.0"),
            (false, "1e3"),
            (false, "+1"),
            (false, "1 2"),
        ] {
            check::<i64>(text, usual);
        }
        for (usual, text) in [
            (true, "{}"),
            (true, r#" { "a" : [ 1 , null ] , "b" : [] } "#),
            (false, r#"{"a":[1,]}"#),
            (false, r#"{"a":[,1]}"#),
            (false, r#"{"a":[1 2]}"#),
            (false, r#"{"a":[1}"#),
            (false, r#"{"a":[]"#),
            (false, r#"{"a" []}"#),
            (false, r#"{"a":[]"b":[]}"#),
            (false, r#"{"a":[],}"#),
            (false, r#"{,"a":[]}"#),
            (false, r#"{"a":[nul]}"#),
            (false, "{}}"),
            (false, "[]"),
        ] {
            check::<BTreeMap<String, Vec<Option<i64>>>>(text, usual);
        }
        for (usual, text) in [(true, "true"), (true, "false"), (false, "tru"), (false, "truest"), (false, "1")] {
            check::<bool>(text, usual);
        }
    }
}
