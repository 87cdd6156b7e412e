//! Typed configuration: a struct and its JSON schema are one thing.

use crate::answer::Error;
use crate::json::Value;
use crate::object;
use std::collections::BTreeMap;

/// What [`config!`](crate::config) implements.
pub trait Config: Sized {
    /// The JSON schema of the configuration.
    fn schema() -> Value;
    /// Reads a configuration. The error names the field that is wrong.
    fn read(value: &Value) -> Result<Self, String>;
}

/// A type that a field of a configuration can have.
pub trait Field: Sized {
    fn schema() -> Value;
    fn read(value: &Value) -> Result<Self, String>;
    /// The value when nothing is configured.
    fn absent() -> Option<Self> {
        None
    }
    /// The value as JSON, for a default in the schema.
    fn write(&self) -> Value;
}

/// Makes a struct and its JSON schema:
///
/// ```
/// tocsin::config! {
///     pub struct Config {
///         /// what to ask; a doc comment is what people read in the form
///         url: String [format: "uri"],
///         /// a field with a default need not be configured
///         max: f64 [minimum: 0, maximum: 100] = 90.0,
///         /// nor an Option
///         note: Option<String>,
///     }
/// }
/// # fn main() {}
/// ```
///
/// What is in brackets goes into the schema as it is.
#[macro_export]
macro_rules! config {
    (
        $(#[$outer:meta])*
        $vis:vis struct $name:ident {
            $($(#[doc = $doc:literal])* $fvis:vis $field:ident : $ty:ty $([$($word:ident : $value:expr),* $(,)?])? $(= $default:expr)?),* $(,)?
        }
    ) => {
        $(#[$outer])*
        #[derive(Clone, Debug)]
        $vis struct $name {
            $($(#[doc = $doc])* $fvis $field: $ty),*
        }

        impl $crate::Config for $name {
            fn schema() -> $crate::Value {
                let mut fields = $crate::Value::Object(Vec::new());
                let mut required: Vec<&str> = Vec::new();
                $({
                    #[allow(unused_mut)]
                    let mut field = <$ty as $crate::Field>::schema();
                    let doc: &[&str] = &[$($doc),*];
                    if !doc.is_empty() {
                        field.set("description", doc.iter().map(|l| l.trim()).collect::<Vec<_>>().join(" "));
                    }
                    $($(field.set(stringify!($word), $value);)*)?
                    #[allow(unused_assignments, unused_mut)]
                    let mut optional = <$ty as $crate::Field>::absent().is_some();
                    $({
                        let default: $ty = $default;
                        field.set("default", $crate::Field::write(&default));
                        optional = true;
                    })?
                    if !optional {
                        required.push(stringify!($field));
                    }
                    fields.set(stringify!($field), field);
                })*
                let mut schema = $crate::object! { "type": "object", "properties": fields };
                if !required.is_empty() {
                    schema.set("required", required);
                }
                schema.set("additionalProperties", false);
                schema
            }

            fn read(value: &$crate::Value) -> Result<Self, String> {
                Ok($name {
                    $($field: match &value[stringify!($field)] {
                        $crate::Value::Null => {
                            #[allow(unused_mut, unused_assignments)]
                            let mut absent: Option<$ty> = <$ty as $crate::Field>::absent();
                            $(absent = Some($default);)?
                            absent.ok_or_else(|| format!("{} is missing", stringify!($field)))?
                        }
                        given => <$ty as $crate::Field>::read(given).map_err(|e| format!("{}: {}", stringify!($field), e))?,
                    }),*
                })
            }
        }

        impl $crate::Field for $name {
            fn schema() -> $crate::Value {
                <$name as $crate::Config>::schema()
            }
            fn read(value: &$crate::Value) -> Result<Self, String> {
                <$name as $crate::Config>::read(value)
            }
            fn write(&self) -> $crate::Value {
                let mut out = $crate::Value::Object(Vec::new());
                $(out.set(stringify!($field), $crate::Field::write(&self.$field));)*
                out
            }
        }
    };
}

fn expected<T>(what: &str, value: &Value) -> Result<T, String> {
    Err(format!("{} is expected, it is {}", what, value.kind()))
}

impl Field for String {
    fn schema() -> Value {
        object! { "type": "string" }
    }
    fn read(value: &Value) -> Result<Self, String> {
        match value.as_str() {
            Some(s) => Ok(s.to_string()),
            None => expected("text", value),
        }
    }
    fn write(&self) -> Value {
        self.into()
    }
}

impl Field for bool {
    fn schema() -> Value {
        object! { "type": "boolean" }
    }
    fn read(value: &Value) -> Result<Self, String> {
        match value.as_bool() {
            Some(b) => Ok(b),
            None => expected("true or false", value),
        }
    }
    fn write(&self) -> Value {
        (*self).into()
    }
}

macro_rules! number_field {
    ($kind:literal: $($t:ty),*) => {$(
        impl Field for $t {
            fn schema() -> Value {
                object! { "type": $kind }
            }
            fn read(value: &Value) -> Result<Self, String> {
                let n = match value.as_f64() {
                    Some(n) => n,
                    None => return expected("a number", value),
                };
                let out = n as $t;
                if $kind == "integer" && out as f64 != n {
                    return Err(format!("an integer from {} to {} is expected, it is {}", <$t>::MIN, <$t>::MAX, n));
                }
                Ok(out)
            }
            fn write(&self) -> Value {
                (*self).into()
            }
        }
    )*};
}
number_field!("number": f64, f32);
number_field!("integer": i64, i32, i16, u64, u32, u16, u8, usize);

impl<T: Field + Into<Value>> Field for Option<T> {
    fn schema() -> Value {
        T::schema()
    }
    fn read(value: &Value) -> Result<Self, String> {
        T::read(value).map(Some)
    }
    fn absent() -> Option<Self> {
        Some(None)
    }
    fn write(&self) -> Value {
        self.as_ref().map_or(Value::Null, Field::write)
    }
}

impl<T: Field> Field for Vec<T> {
    fn schema() -> Value {
        object! { "type": "array", "items": T::schema() }
    }
    fn read(value: &Value) -> Result<Self, String> {
        match value {
            Value::List(items) => items.iter().enumerate().map(|(i, v)| T::read(v).map_err(|e| format!("{}: {}", i + 1, e))).collect(),
            other => expected("a list", other),
        }
    }
    fn write(&self) -> Value {
        Value::List(self.iter().map(Field::write).collect())
    }
}

impl<T: Field> Field for BTreeMap<String, T> {
    fn schema() -> Value {
        object! { "type": "object", "additionalProperties": T::schema() }
    }
    fn read(value: &Value) -> Result<Self, String> {
        match value {
            Value::Object(fields) => fields.iter().map(|(k, v)| Ok((k.clone(), T::read(v).map_err(|e| format!("{}: {}", k, e))?))).collect(),
            other => expected("an object", other),
        }
    }
    fn write(&self) -> Value {
        Value::Object(self.iter().map(|(k, v)| (k.clone(), v.write())).collect())
    }
}

impl Field for Value {
    fn schema() -> Value {
        Value::Object(Vec::new())
    }
    fn read(value: &Value) -> Result<Self, String> {
        Ok(value.clone())
    }
    fn write(&self) -> Value {
        self.clone()
    }
}

/// Reads a configuration; what is wrong with it is never the target's fault.
pub(crate) fn read<C: Config>(value: &Value) -> Result<C, Error> {
    C::read(value).map_err(|e| Error::config(format!("configuration: {}", e)))
}

#[cfg(test)]
mod tests {
    use super::*;

    crate::config! {
        /// An endpoint.
        struct Endpoint {
            /// where
            host: String,
            port: u16 = 443,
        }
    }

    crate::config! {
        struct All {
            /// what to ask
            /// and where
            url: String [format: "uri"],
            mode: String [enum: vec!["fast", "slow"]] = "fast".to_string(),
            limit: i64 [minimum: 1, maximum: 99] = 10,
            ratio: Option<f64>,
            names: Vec<String> = Vec::new(),
            tags: Option<Value>,
            endpoints: Vec<Endpoint> = vec![],
            on: bool = true,
        }
    }

    #[test]
    fn schema_is_made_of_the_struct() {
        assert_eq!(
            <All as Config>::schema().to_string(),
            concat!(
                r#"{"type":"object","properties":{"#,
                r#""url":{"type":"string","description":"what to ask and where","format":"uri"},"#,
                r#""mode":{"type":"string","enum":["fast","slow"],"default":"fast"},"#,
                r#""limit":{"type":"integer","minimum":1,"maximum":99,"default":10},"#,
                r#""ratio":{"type":"number"},"#,
                r#""names":{"type":"array","items":{"type":"string"},"default":[]},"#,
                r#""tags":{},"#,
                r#""endpoints":{"type":"array","items":{"type":"object","properties":{"host":{"type":"string","description":"where"},"#,
                r#""port":{"type":"integer","default":443}},"required":["host"],"additionalProperties":false},"default":[]},"#,
                r#""on":{"type":"boolean","default":true}"#,
                r#"},"required":["url"],"additionalProperties":false}"#
            )
        );
    }

    #[test]
    fn reads() {
        let c = read::<All>(&Value::parse(r#"{"url":"x","ratio":0.5,"endpoints":[{"host":"h"}],"tags":{"a":1}}"#).unwrap()).unwrap_or_else(|_| panic!());
        assert_eq!((c.url.as_str(), c.mode.as_str(), c.limit, c.ratio, c.on), ("x", "fast", 10, Some(0.5), true));
        assert_eq!((c.endpoints[0].host.as_str(), c.endpoints[0].port, c.names.len()), ("h", 443, 0));
        assert_eq!(c.tags.unwrap()["a"].as_i64(), Some(1));
        for (text, want) in [
            ("{}", "configuration: url is missing"),
            (r#"{"url":3}"#, "configuration: url: text is expected, it is a number"),
            (r#"{"url":"x","limit":1.5}"#, "configuration: limit: an integer from -9223372036854775808 to 9223372036854775807 is expected, it is 1.5"),
            (r#"{"url":"x","on":"yes"}"#, "configuration: on: true or false is expected, it is text"),
            (r#"{"url":"x","names":["a",1]}"#, "configuration: names: 2: text is expected, it is a number"),
            (r#"{"url":"x","endpoints":[{"host":"h","port":70000}]}"#, "configuration: endpoints: 1: port: an integer from 0 to 65535 is expected, it is 70000"),
        ] {
            match read::<All>(&Value::parse(text).unwrap()) {
                Err(e) => assert_eq!(e.to_string(), want),
                Ok(_) => panic!("{} is read", text),
            }
        }
    }
}
