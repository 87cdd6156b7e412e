//! What a module says of itself.

use crate::config::Config;
use crate::json::Value;
use crate::object;

/// Type of a sample, an output, a parameter or a result.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Type {
    Number,
    Integer,
    Text,
    Bool,
    /// a number of seconds, or text such as "250ms"
    Duration,
    /// RFC 3339 text
    Time,
    /// an object of texts
    Map,
    /// of functions only
    List,
    Any,
}

impl Type {
    fn word(self) -> &'static str {
        match self {
            Type::Number => "number",
            Type::Integer => "integer",
            Type::Text => "string",
            Type::Bool => "bool",
            Type::Duration => "duration",
            Type::Time => "time",
            Type::Map => "map",
            Type::List => "list",
            Type::Any => "any",
        }
    }
}

/// A Rust type that a function can take or return.
pub trait Typed {
    const TYPE: Type;
}

macro_rules! typed {
    ($($t:ty => $kind:ident),* $(,)?) => {$(
        impl Typed for $t {
            const TYPE: Type = Type::$kind;
        }
    )*};
}
typed!(f64 => Number, f32 => Number, i64 => Integer, i32 => Integer, u64 => Integer, u32 => Integer, bool => Bool, String => Text, &str => Text,
    Value => Any, Vec<Value> => List, Vec<f64> => List, Vec<String> => List);

impl<T: Typed, E> Typed for Result<T, E> {
    const TYPE: Type = T::TYPE;
}

/// The types of the parameters of a function.
pub trait Params {
    fn types() -> Vec<Type>;
}

macro_rules! params {
    ($($($t:ident)*;)*) => {$(
        impl<$($t: Typed),*> Params for ($($t,)*) {
            fn types() -> Vec<Type> {
                vec![$($t::TYPE),*]
            }
        }
    )*};
}
params! { ; A; A B; A B C; A B C D; A B C D E; A B C D E F; }

/// What a module says of itself.
#[derive(Clone, Debug)]
pub struct Manifest {
    head: Value,
    schema: Value,
    samples: Vec<Value>,
    action: Value,
    functions: Vec<Value>,
    wants: Value,
    limits: Value,
}

fn declaration(name: &str, kind: Type, unit: &str, doc: &str) -> Value {
    let mut out = object! { "name": name, "type": kind.word() };
    for (key, text) in [("unit", unit), ("doc", doc)] {
        if !text.is_empty() {
            out.set(key, text);
        }
    }
    out
}

fn push(list: &mut Value, key: &str, item: Value) {
    let mut items = list[key].as_list().to_vec();
    items.push(item);
    list.set(key, items);
}

impl Manifest {
    /// A name of letters, digits, '.', '_' and '-', and a version.
    pub fn new(name: &str, version: &str) -> Manifest {
        let empty = || Value::Object(Vec::new());
        Manifest {
            head: object! { "abi": "tocsin/1", "name": name, "version": version },
            schema: object! { "type": "object" },
            samples: Vec::new(),
            action: Value::Null,
            functions: Vec::new(),
            wants: empty(),
            limits: empty(),
        }
    }

    /// One paragraph for people.
    pub fn doc(mut self, text: &str) -> Self {
        self.head.set("doc", text);
        self
    }

    pub fn author(mut self, name: &str) -> Self {
        self.head.set("author", name);
        self
    }

    /// The configuration, see [`config!`](crate::config).
    pub fn config<C: Config>(mut self) -> Self {
        self.schema = C::schema();
        self
    }

    /// The JSON schema of the configuration, instead of a struct.
    pub fn schema(mut self, schema: Value) -> Self {
        self.schema = schema;
        self
    }

    /// Declares a value that a run reports.
    pub fn sample(mut self, name: &str, kind: Type, unit: &str, doc: &str) -> Self {
        self.samples.push(declaration(name, kind, unit, doc));
        self
    }

    /// Offers a step of rules with its configuration.
    pub fn action<C: Config>(mut self) -> Self {
        self.action.set("config_schema", C::schema());
        self
    }

    /// Declares a value that later steps see.
    pub fn output(mut self, name: &str, kind: Type, doc: &str) -> Self {
        push(&mut self.action, "outputs", declaration(name, kind, "", doc));
        self
    }

    /// Offers a function of expressions: `function::<(f64, String), f64>("scale", "...", &["x", "by"])`.
    pub fn function<P: Params, R: Typed>(mut self, name: &str, doc: &str, params: &[&str]) -> Self {
        let types = P::types();
        assert_eq!(types.len(), params.len(), "the function {} has {} parameters, and {} names are given", name, types.len(), params.len());
        let params: Vec<Value> = params.iter().zip(types).map(|(n, t)| object! { "name": *n, "type": t.word() }).collect();
        let mut f = object! { "name": name, "params": params, "returns": R::TYPE.word() };
        if !doc.is_empty() {
            f.set("doc", doc);
        }
        self.functions.push(f);
        self
    }

    /// Asks to reach hosts by HTTP: scheme://host:port. The host may begin with
    /// "*." or be "*", the port may be "*".
    pub fn http(mut self, pattern: &str) -> Self {
        push(&mut self.wants, "http", pattern.into());
        self
    }

    /// Asks to connect to host:port, for [`Run::tcp`](crate::Run::tcp) and [`Run::tls_info`](crate::Run::tls_info).
    pub fn tcp(mut self, pattern: &str) -> Self {
        push(&mut self.wants, "tcp", pattern.into());
        self
    }

    /// Asks to look up names.
    pub fn dns(mut self, pattern: &str) -> Self {
        push(&mut self.wants, "dns", pattern.into());
        self
    }

    /// The hosts may have loopback or private addresses.
    pub fn private(mut self) -> Self {
        self.wants.set("private", true);
        self
    }

    /// Asks to keep values of each assignment.
    pub fn keeps(mut self) -> Self {
        self.wants.set("kv", "assignment");
        self
    }

    /// Asks to keep values that all assignments of the module share.
    pub fn keeps_together(mut self) -> Self {
        self.wants.set("kv", "module");
        self
    }

    /// Asks to send a secret without reading it.
    pub fn secret(mut self, name: &str) -> Self {
        push(&mut self.wants, "secrets", name.into());
        self
    }

    /// Asks to read a secret.
    pub fn reveal(mut self, name: &str) -> Self {
        push(&mut self.wants, "reveal", name.into());
        self
    }

    /// Asks for a limit other than the default: memory_bytes, fuel,
    /// output_bytes, log_bytes, http_calls, http_response_bytes, tcp_calls,
    /// tcp_bytes, dns_calls or kv_bytes.
    pub fn limit(mut self, name: &str, value: u64) -> Self {
        self.limits.set(name, value);
        self
    }

    pub(crate) fn document(self, collects: bool) -> Value {
        let mut out = self.head;
        let mut offers = Vec::new();
        if collects {
            offers.push("collector");
            out.set("config_schema", self.schema);
            out.set("samples", self.samples);
        }
        if !self.action.is_null() {
            offers.push("action");
            out.set("action", self.action);
        }
        if !self.functions.is_empty() {
            offers.push("function");
            out.set("functions", self.functions);
        }
        out.set("offers", offers);
        let mut wants = self.wants;
        wants.set("limits", self.limits);
        out.set("wants", wants);
        out
    }

    /// Reports whether the module offers an action or functions and describes
    /// nothing of a collector.
    pub(crate) fn collects(&self) -> bool {
        (self.action.is_null() && self.functions.is_empty()) || !self.samples.is_empty() || self.schema != object! { "type": "object" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    crate::config! {
        struct Room {
            room: String,
        }
    }

    #[test]
    fn is_written() {
        let m = Manifest::new("all", "1.2.3")
            .doc("All of it.")
            .author("me")
            .config::<Room>()
            .sample("depth", Type::Integer, "messages", "that wait")
            .action::<Room>()
            .output("id", Type::Text, "")
            .function::<(f64, String), f64>("scale", "Scales.", &["x", "by"])
            .http("https://*:*")
            .http("http://*:*")
            .tcp("*:443")
            .dns("*.example.org")
            .private()
            .keeps()
            .secret("token")
            .reveal("token")
            .limit("http_calls", 3);
        let collects = m.collects();
        assert!(collects);
        assert_eq!(
            m.document(collects).to_string(),
            concat!(
                r#"{"abi":"tocsin/1","name":"all","version":"1.2.3","doc":"All of it.","author":"me","#,
                r#""config_schema":{"type":"object","properties":{"room":{"type":"string"}},"required":["room"],"additionalProperties":false},"#,
                r#""samples":[{"name":"depth","type":"integer","unit":"messages","doc":"that wait"}],"#,
                r#""action":{"config_schema":{"type":"object","properties":{"room":{"type":"string"}},"required":["room"],"additionalProperties":false},"outputs":[{"name":"id","type":"string"}]},"#,
                r#""functions":[{"name":"scale","params":[{"name":"x","type":"number"},{"name":"by","type":"string"}],"returns":"number","doc":"Scales."}],"#,
                r#""offers":["collector","action","function"],"#,
                r#""wants":{"http":["https://*:*","http://*:*"],"tcp":["*:443"],"dns":["*.example.org"],"private":true,"kv":"assignment","secrets":["token"],"reveal":["token"],"limits":{"http_calls":3}}}"#
            )
        );
    }

    #[test]
    fn knows_what_it_offers() {
        assert!(Manifest::new("a", "1").collects());
        assert!(!Manifest::new("a", "1").function::<(), bool>("yes", "", &[]).collects());
        let m = Manifest::new("a", "1").action::<Room>();
        assert!(!m.collects());
        assert!(m.document(false)["config_schema"].is_null());
    }
}
