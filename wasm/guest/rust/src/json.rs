//! JSON values: what the host and a module say to each other.

use std::fmt;
use std::ops::Index;

/// How deep lists and objects may nest.
const DEEPEST: usize = 128;

/// A JSON value. Numbers are 64-bit floating point: integers are exact up to
/// 2^53. Objects keep the order in which their fields were written.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    List(Vec<Value>),
    Object(Vec<(String, Value)>),
}

static NULL: Value = Value::Null;

/// Makes an object: `object! { "depth": 12, "name": "orders" }`.
#[macro_export]
macro_rules! object {
    ($($key:literal : $value:expr),* $(,)?) => {
        $crate::Value::Object(vec![$(($key.to_string(), $crate::Value::from($value))),*])
    };
}

impl Value {
    /// Reads a document. The error says what is wrong and where.
    pub fn parse(text: &str) -> Result<Value, String> {
        let mut r = Reader { text, at: 0, depth: 0 };
        let value = r.value()?;
        r.space();
        if r.at < text.len() {
            return r.wrong("the document goes on after its end");
        }
        Ok(value)
    }

    /// The field of an object, Null when there is none.
    pub fn get(&self, key: &str) -> &Value {
        match self {
            Value::Object(fields) => fields.iter().rev().find(|(k, _)| k == key).map_or(&NULL, |(_, v)| v),
            _ => &NULL,
        }
    }

    /// Sets a field of an object. Null becomes an object.
    pub fn set(&mut self, key: &str, value: impl Into<Value>) {
        if let Value::Null = self {
            *self = Value::Object(Vec::new());
        }
        if let Value::Object(fields) = self {
            match fields.iter_mut().find(|(k, _)| k == key) {
                Some((_, old)) => *old = value.into(),
                None => fields.push((key.to_string(), value.into())),
            }
        }
    }

    /// An element of a list, Null when there is none.
    pub fn at(&self, i: usize) -> &Value {
        self.as_list().get(i).unwrap_or(&NULL)
    }

    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Bool(b) => Some(*b),
            _ => None,
        }
    }

    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Value::Number(n) => Some(*n),
            _ => None,
        }
    }

    /// The number, when it is an integer that is exact.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Value::Number(n) if n.fract() == 0.0 && n.abs() <= 9_007_199_254_740_992.0 => Some(*n as i64),
            _ => None,
        }
    }

    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::Text(s) => Some(s),
            _ => None,
        }
    }

    /// The elements of a list; none when it is no list.
    pub fn as_list(&self) -> &[Value] {
        match self {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// The fields of an object; none when it is no object.
    pub fn as_object(&self) -> &[(String, Value)] {
        match self {
            Value::Object(fields) => fields,
            _ => &[],
        }
    }

    /// What it is, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Null => "nothing",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::Text(_) => "text",
            Value::List(_) => "a list",
            Value::Object(_) => "an object",
        }
    }
}

impl Index<&str> for Value {
    type Output = Value;
    fn index(&self, key: &str) -> &Value {
        self.get(key)
    }
}

impl Index<usize> for Value {
    type Output = Value;
    fn index(&self, i: usize) -> &Value {
        self.at(i)
    }
}

/// Writes it as JSON. A number that JSON cannot hold is null.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => f.write_str("null"),
            Value::Bool(b) => write!(f, "{}", b),
            Value::Number(n) if !n.is_finite() => f.write_str("null"),
            Value::Number(n) if n.abs() >= 1e21 || (*n != 0.0 && n.abs() < 1e-7) => write!(f, "{:e}", n),
            Value::Number(n) => write!(f, "{}", n),
            Value::Text(s) => quote(f, s),
            Value::List(items) => {
                f.write_str("[")?;
                for (i, item) in items.iter().enumerate() {
                    if i > 0 {
                        f.write_str(",")?;
                    }
                    item.fmt(f)?;
                }
                f.write_str("]")
            }
            Value::Object(fields) => {
                f.write_str("{")?;
                for (i, (key, value)) in fields.iter().enumerate() {
                    if i > 0 {
                        f.write_str(",")?;
                    }
                    quote(f, key)?;
                    f.write_str(":")?;
                    value.fmt(f)?;
                }
                f.write_str("}")
            }
        }
    }
}

fn quote(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_str("\"")?;
    let mut plain = 0;
    for (i, b) in text.bytes().enumerate() {
        if b >= 0x20 && b != b'"' && b != b'\\' {
            continue;
        }
        f.write_str(&text[plain..i])?;
        match b {
            b'"' => f.write_str("\\\"")?,
            b'\\' => f.write_str("\\\\")?,
            b'\n' => f.write_str("\\n")?,
            b'\r' => f.write_str("\\r")?,
            b'\t' => f.write_str("\\t")?,
            _ => write!(f, "\\u{:04x}", b)?,
        }
        plain = i + 1;
    }
    f.write_str(&text[plain..])?;
    f.write_str("\"")
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Reader<'a> {
    fn wrong<T>(&self, what: &str) -> Result<T, String> {
        Err(format!("JSON, byte {}: {}", self.at + 1, what))
    }

    fn peek(&self) -> u8 {
        *self.text.as_bytes().get(self.at).unwrap_or(&0)
    }

    fn space(&mut self) {
        while matches!(self.peek(), b' ' | b'\n' | b'\r' | b'\t') {
            self.at += 1;
        }
    }

    fn value(&mut self) -> Result<Value, String> {
        self.space();
        match self.peek() {
            b'{' => self.object(),
            b'[' => self.list(),
            b'"' => Ok(Value::Text(self.string()?)),
            b'-' | b'0'..=b'9' => self.number(),
            _ => {
                for (word, value) in [("true", Value::Bool(true)), ("false", Value::Bool(false)), ("null", Value::Null)] {
                    if self.text[self.at..].starts_with(word) {
                        self.at += word.len();
                        return Ok(value);
                    }
                }
                if self.at == self.text.len() {
                    return self.wrong("the document ends where a value is expected");
                }
                self.wrong("a value is expected")
            }
        }
    }

    fn enter(&mut self) -> Result<(), String> {
        self.at += 1;
        self.depth += 1;
        if self.depth > DEEPEST {
            return self.wrong("it nests too deep");
        }
        self.space();
        Ok(())
    }

    /// Goes on to the next element; false at the end.
    fn more(&mut self, close: u8) -> Result<bool, String> {
        self.space();
        let c = self.peek();
        self.at += 1;
        if c == close {
            self.depth -= 1;
            return Ok(false);
        }
        if c != b',' {
            self.at -= 1;
            return self.wrong("a comma or the end of the list or object is expected");
        }
        self.space();
        Ok(true)
    }

    fn list(&mut self) -> Result<Value, String> {
        self.enter()?;
        let mut items = Vec::new();
        if self.peek() == b']' {
            self.at += 1;
            self.depth -= 1;
            return Ok(Value::List(items));
        }
        loop {
            items.push(self.value()?);
            if !self.more(b']')? {
                return Ok(Value::List(items));
            }
        }
    }

    fn object(&mut self) -> Result<Value, String> {
        self.enter()?;
        let mut fields = Vec::new();
        if self.peek() == b'}' {
            self.at += 1;
            self.depth -= 1;
            return Ok(Value::Object(fields));
        }
        loop {
            if self.peek() != b'"' {
                return self.wrong("the name of a field is expected");
            }
            let key = self.string()?;
            self.space();
            if self.peek() != b':' {
                return self.wrong("a colon is expected");
            }
            self.at += 1;
            fields.push((key, self.value()?));
            if !self.more(b'}')? {
                return Ok(Value::Object(fields));
            }
        }
    }

    fn digits(&mut self) -> usize {
        let from = self.at;
        while self.peek().is_ascii_digit() {
            self.at += 1;
        }
        self.at - from
    }

    fn number(&mut self) -> Result<Value, String> {
        let from = self.at;
        if self.peek() == b'-' {
            self.at += 1;
        }
        let zero = self.peek() == b'0';
        let n = self.digits();
        if n == 0 || zero && n > 1 {
            return self.wrong("this is not a number");
        }
        if self.peek() == b'.' {
            self.at += 1;
            if self.digits() == 0 {
                return self.wrong("digits are expected after the point");
            }
        }
        if matches!(self.peek(), b'e' | b'E') {
            self.at += 1;
            if matches!(self.peek(), b'+' | b'-') {
                self.at += 1;
            }
            if self.digits() == 0 {
                return self.wrong("digits are expected in the exponent");
            }
        }
        match self.text[from..self.at].parse::<f64>() {
            Ok(n) if n.is_finite() => Ok(Value::Number(n)),
            _ => self.wrong("the number is too large"),
        }
    }

    fn string(&mut self) -> Result<String, String> {
        self.at += 1;
        let mut out = String::new();
        loop {
            let from = self.at;
            while !matches!(self.peek(), b'"' | b'\\' | 0..=0x1f) {
                self.at += 1;
            }
            out.push_str(&self.text[from..self.at]);
            match self.peek() {
                b'"' => {
                    self.at += 1;
                    return Ok(out);
                }
                b'\\' => {
                    self.at += 1;
                    out.push(self.escape()?);
                }
                _ if self.at >= self.text.len() => return self.wrong("the text does not end"),
                _ => return self.wrong("a control character in a text must be escaped"),
            }
        }
    }

    fn escape(&mut self) -> Result<char, String> {
        let c = self.peek();
        self.at += 1;
        Ok(match c {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = self.hex()?;
                if !(0xd800..0xe000).contains(&first) {
                    return Ok(char::from_u32(first).unwrap_or('\u{fffd}'));
                }
                if first >= 0xdc00 || !self.text[self.at..].starts_with("\\u") {
                    return Ok('\u{fffd}'); // half of a pair
                }
                let back = self.at;
                self.at += 2;
                let second = self.hex()?;
                if !(0xdc00..0xe000).contains(&second) {
                    self.at = back;
                    return Ok('\u{fffd}');
                }
                char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)).unwrap_or('\u{fffd}')
            }
            _ => {
                self.at -= 1;
                return self.wrong("there is no such escape");
            }
        })
    }

    fn hex(&mut self) -> Result<u32, String> {
        match self.text.get(self.at..self.at + 4) {
            Some(digits) if digits.bytes().all(|b| b.is_ascii_hexdigit()) => {
                self.at += 4;
                Ok(u32::from_str_radix(digits, 16).unwrap_or(0))
            }
            _ => self.wrong("four hexadecimal digits are expected"),
        }
    }
}

impl From<bool> for Value {
    fn from(v: bool) -> Value {
        Value::Bool(v)
    }
}

macro_rules! from_number {
    ($($t:ty),*) => {$(
        impl From<$t> for Value {
            fn from(v: $t) -> Value {
                Value::Number(v as f64)
            }
        }
    )*};
}
from_number!(f64, f32, i64, i32, i16, i8, u64, u32, u16, u8, usize, isize);

impl From<&str> for Value {
    fn from(v: &str) -> Value {
        Value::Text(v.to_string())
    }
}

impl From<String> for Value {
    fn from(v: String) -> Value {
        Value::Text(v)
    }
}

impl From<&String> for Value {
    fn from(v: &String) -> Value {
        Value::Text(v.clone())
    }
}

impl From<&Value> for Value {
    fn from(v: &Value) -> Value {
        v.clone()
    }
}

impl<T: Into<Value>> From<Vec<T>> for Value {
    fn from(v: Vec<T>) -> Value {
        Value::List(v.into_iter().map(Into::into).collect())
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(v: Option<T>) -> Value {
        v.map_or(Value::Null, Into::into)
    }
}

impl<T: Into<Value>> From<std::collections::BTreeMap<String, T>> for Value {
    fn from(v: std::collections::BTreeMap<String, T>) -> Value {
        Value::Object(v.into_iter().map(|(k, v)| (k, v.into())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes() {
        for (text, want) in [
            ("null", "null"),
            (" true ", "true"),
            ("false", "false"),
            ("0", "0"),
            ("-0.5", "-0.5"),
            ("1.50", "1.5"),
            ("1e3", "1000"),
            ("12345678901", "12345678901"),
            ("9007199254740992", "9007199254740992"),
            ("1e21", "1e21"),
            ("1.5E-9", "1.5e-9"),
            ("\"\"", "\"\""),
            (r#""a\"\\\/\b\f\n\r\tz""#, r#""a\"\\/\u0008\u000c\n\r\tz""#),
            (r#""\u00e9\u20AC\ud83d\ude00""#, "\"é€😀\""),
            (r#""\ud83d""#, "\"\u{fffd}\""),
            (r#""\ud83dx""#, "\"\u{fffd}x\""),
            (r#""\ud83d\u0041""#, "\"\u{fffd}A\""),
            (r#""\ude00""#, "\"\u{fffd}\""),
            ("[]", "[]"),
            ("[ 1 , [2] , {} ]", "[1,[2],{}]"),
            (r#"{ "a" : 1, "b":{"c":[null]} }"#, r#"{"a":1,"b":{"c":[null]}}"#),
        ] {
            let value = Value::parse(text).unwrap_or_else(|e| panic!("{}: {}", text, e));
            assert_eq!(value.to_string(), want, "{}", text);
            assert_eq!(Value::parse(want), Ok(value), "{} read again", want);
        }
    }

    #[test]
    fn refuses() {
        for (text, want) in [
            ("", "byte 1: the document ends"),
            ("[1,", "byte 4: the document ends"),
            ("[1 2]", "byte 4: a comma"),
            ("[1,]", "byte 4: a value"),
            ("{1:2}", "byte 2: the name of a field"),
            (r#"{"a" 1}"#, "byte 6: a colon"),
            (r#"{"a":1,}"#, "byte 8: the name of a field"),
            ("01", "byte 3: this is not a number"),
            ("-", "byte 2: this is not a number"),
            ("1.", "byte 3: digits are expected after the point"),
            ("1e", "byte 3: digits are expected in the exponent"),
            ("1e999", "byte 6: the number is too large"),
            ("\"a", "byte 3: the text does not end"),
            ("\"a\n\"", "byte 3: a control character"),
            (r#""\x""#, "byte 3: there is no such escape"),
            (r#""\u12""#, "byte 4: four hexadecimal digits"),
            (r#""\u+123""#, "byte 4: four hexadecimal digits"),
            ("nul", "byte 1: a value is expected"),
            ("1 2", "byte 3: the document goes on"),
            ("\u{feff}1", "byte 1: a value is expected"),
        ] {
            match Value::parse(text) {
                Err(e) => assert!(e.contains(want), "{:?}: {}, want {}", text, e, want),
                Ok(v) => panic!("{:?} is read as {}", text, v),
            }
        }
        let deep = "[".repeat(DEEPEST + 1);
        assert!(Value::parse(&deep).unwrap_err().contains("nests too deep"));
        let fits = "[".repeat(DEEPEST) + &"]".repeat(DEEPEST);
        assert_eq!(Value::parse(&fits).unwrap().to_string(), fits);
        assert_eq!(Value::parse("[[],[],{}]").unwrap().as_list().len(), 3);
    }

    /// Every beginning of a document, and every document with one byte changed,
    /// is read or refused, never a panic.
    #[test]
    fn survives_damage() {
        let text = r#"{"a":[1,-2.5e3,true,null,"x\u00e9\ud83d\ude00\n"],"b":{"c":false}}"#;
        for end in 0..text.len() {
            assert!(Value::parse(&text[..end]).is_err(), "{}", &text[..end]);
        }
        for i in 0..text.len() {
            for b in 0..0x80u8 {
                let mut bytes = text.as_bytes().to_vec();
                bytes[i] = b;
                let changed = String::from_utf8(bytes).unwrap();
                if let Ok(v) = Value::parse(&changed) {
                    assert_eq!(Value::parse(&v.to_string()), Ok(v), "{}", changed);
                }
            }
        }
    }

    #[test]
    fn is_looked_into() {
        let v = object! { "n": 3, "t": "x", "l": vec![1.5, 2.5], "o": object! { "b": true }, "none": None::<f64> };
        assert_eq!(v.to_string(), r#"{"n":3,"t":"x","l":[1.5,2.5],"o":{"b":true},"none":null}"#);
        assert_eq!(v["n"].as_i64(), Some(3));
        assert_eq!(v["n"].as_f64(), Some(3.0));
        assert_eq!(v["t"].as_str(), Some("x"));
        assert_eq!(v["l"][1].as_f64(), Some(2.5));
        assert_eq!(v["o"]["b"].as_bool(), Some(true));
        assert!(v["l"][9].is_null() && v["gone"]["deeper"].is_null());
        assert_eq!(v["l"][0].as_i64(), None);
        let mut w = Value::Null;
        w.set("a", 1);
        w.set("a", "two");
        w.set("b", f64::NAN);
        assert_eq!(w.to_string(), r#"{"a":"two","b":null}"#);
        let doubled = Value::parse(r#"{"a":1,"a":2}"#).unwrap();
        assert_eq!(doubled["a"].as_i64(), Some(2));
    }
}
