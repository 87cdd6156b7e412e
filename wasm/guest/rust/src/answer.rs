//! What a module answers, and what goes wrong.

use crate::json::Value;
use crate::object;
use std::fmt;

/// Why a call to the host gave no answer.
#[derive(Clone, Debug, PartialEq)]
pub struct CallError {
    /// denied, invalid, quota, too_large, timeout, dns, connect, tls, redirects, protocol, not_found or storage
    pub code: String,
    pub message: String,
}

/// What went wrong in a run. Every error of the standard library, text and a
/// [`CallError`] become one with `?`.
#[derive(Clone, Debug)]
pub enum Error {
    /// The host gave no answer.
    Call(CallError),
    /// We could not ask, and the target has nothing to do with it.
    Ours(String),
    /// The target did not answer, or answered wrongly.
    Theirs(String),
}

impl Error {
    /// The configuration is wrong: the run is an error, not a failure.
    pub fn config(text: impl fmt::Display) -> Error {
        Error::Ours(text.to_string())
    }

    /// Reports whether the target has nothing to do with it: the configuration
    /// is wrong, the grant does not allow it, a quota is used up, or the host
    /// could not do it.
    pub fn is_ours(&self) -> bool {
        match self {
            Error::Call(e) => matches!(e.code.as_str(), "denied" | "invalid" | "quota" | "too_large" | "not_found" | "storage"),
            Error::Ours(_) => true,
            Error::Theirs(_) => false,
        }
    }

    /// The error of the host, when it is one.
    pub fn call(&self) -> Option<&CallError> {
        match self {
            Error::Call(e) => Some(e),
            _ => None,
        }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.code)
    }
}

impl std::error::Error for CallError {}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Call(e) => e.fmt(f),
            Error::Ours(text) | Error::Theirs(text) => f.write_str(text),
        }
    }
}

impl From<String> for Error {
    fn from(text: String) -> Error {
        Error::Theirs(text)
    }
}

impl From<&str> for Error {
    fn from(text: &str) -> Error {
        Error::Theirs(text.to_string())
    }
}

impl From<CallError> for Error {
    fn from(e: CallError) -> Error {
        Error::Call(e)
    }
}

macro_rules! from_error {
    ($($t:ty),* $(,)?) => {$(
        impl From<$t> for Error {
            fn from(e: $t) -> Error {
                Error::Theirs(e.to_string())
            }
        }
    )*};
}
from_error!(
    std::num::ParseIntError,
    std::num::ParseFloatError,
    std::num::TryFromIntError,
    std::str::ParseBoolError,
    std::str::Utf8Error,
    std::string::FromUtf8Error,
    std::char::ParseCharError,
    std::net::AddrParseError,
    fmt::Error,
    Box<dyn std::error::Error>,
);

/// What a run answers. Begin with [`Answer::pass`], [`Answer::warn`],
/// [`Answer::fail`] or [`Answer::error`] and add samples.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    outcome: &'static str,
    summary: String,
    error: String,
    samples: Vec<(String, Value)>,
    detail: Value,
}

impl Answer {
    fn new(outcome: &'static str, summary: String, error: String) -> Answer {
        Answer { outcome, summary, error, samples: Vec::new(), detail: Value::Null }
    }

    /// Everything holds.
    pub fn pass(summary: impl Into<String>) -> Answer {
        Answer::new("pass", summary.into(), String::new())
    }

    /// Only a warning does not hold.
    pub fn warn(summary: impl Into<String>) -> Answer {
        let summary = summary.into();
        Answer::new("warn", summary.clone(), summary)
    }

    /// The target answered wrongly or was not reached.
    pub fn fail(summary: impl Into<String>) -> Answer {
        let summary = summary.into();
        Answer::new("fail", summary.clone(), summary)
    }

    /// We could not ask: it never moves health.
    pub fn error(reason: impl fmt::Display) -> Answer {
        Answer::new("error", String::new(), reason.to_string())
    }

    /// Error when we could not ask, otherwise fail.
    pub fn unreached(e: impl Into<Error>) -> Answer {
        let e = e.into();
        if e.is_ours() {
            return Answer::error(e);
        }
        Answer::fail(e.to_string())
    }

    /// Reports a value under a name that the manifest declares.
    pub fn sample(mut self, name: &str, value: impl Into<Value>) -> Answer {
        self.samples.push((name.to_string(), value.into()));
        self
    }

    /// What assertions see as `detail`; it is not stored.
    pub fn detail(mut self, detail: impl Into<Value>) -> Answer {
        self.detail = detail.into();
        self
    }

    /// pass, warn, fail or error
    pub fn outcome(&self) -> &str {
        self.outcome
    }

    /// The line for people.
    pub fn summary(&self) -> &str {
        if self.summary.is_empty() {
            return &self.error;
        }
        &self.summary
    }

    /// What was reported under a name, Null when nothing was.
    pub fn reported(&self, name: &str) -> &Value {
        self.samples.iter().rev().find(|(n, _)| n == name).map_or(&Value::Null, |(_, v)| v)
    }

    pub(crate) fn document(self) -> Value {
        let mut out = object! { "outcome": self.outcome };
        if !self.summary.is_empty() {
            out.set("summary", self.summary);
        }
        if !self.samples.is_empty() {
            out.set("samples", Value::Object(self.samples));
        }
        if !self.detail.is_null() {
            out.set("detail", self.detail);
        }
        if !self.error.is_empty() {
            out.set("error", self.error);
        }
        out
    }
}

/// What a collector may return: an [`Answer`], a bool (pass or fail), a number
/// (the sample `value`), an object (samples), text (the summary of a pass),
/// nothing (pass), or a `Result` of one, whose error is a failure or, when we
/// could not ask, an error.
pub trait IntoAnswer {
    fn into_answer(self) -> Answer;
}

impl IntoAnswer for Answer {
    fn into_answer(self) -> Answer {
        self
    }
}

impl IntoAnswer for () {
    fn into_answer(self) -> Answer {
        Answer::pass("")
    }
}

impl IntoAnswer for bool {
    fn into_answer(self) -> Answer {
        if self {
            return Answer::pass("");
        }
        Answer::fail("it does not hold")
    }
}

macro_rules! number_answer {
    ($($t:ty),*) => {$(
        impl IntoAnswer for $t {
            fn into_answer(self) -> Answer {
                Answer::pass(Value::from(self).to_string()).sample("value", self)
            }
        }
    )*};
}
number_answer!(f64, f32, i64, i32, u64, u32, usize);

impl IntoAnswer for &str {
    fn into_answer(self) -> Answer {
        Answer::pass(self)
    }
}

impl IntoAnswer for String {
    fn into_answer(self) -> Answer {
        Answer::pass(self)
    }
}

impl IntoAnswer for Value {
    fn into_answer(self) -> Answer {
        match self {
            Value::Object(samples) => Answer { samples, ..Answer::pass("") },
            Value::Number(n) => n.into_answer(),
            Value::Text(s) => s.into_answer(),
            Value::Bool(b) => b.into_answer(),
            Value::Null => ().into_answer(),
            Value::List(_) => Answer::error("the collector returned a list; return a number, true, false, text or an object of samples"),
        }
    }
}

impl<T: IntoAnswer, E: Into<Error>> IntoAnswer for Result<T, E> {
    fn into_answer(self) -> Answer {
        match self {
            Ok(v) => v.into_answer(),
            Err(e) => Answer::unreached(e),
        }
    }
}

/// What became of one attempt of an action.
#[derive(Clone, Debug, PartialEq)]
pub struct Acted(Value);

impl Acted {
    /// The step is carried out.
    pub fn done(summary: impl Into<String>) -> Acted {
        Acted(object! { "outcome": "pass", "summary": summary.into() })
    }

    /// Another attempt cannot help.
    pub fn refused(reason: impl fmt::Display) -> Acted {
        Acted(object! { "outcome": "fail", "error": reason.to_string() })
    }

    /// Another attempt may help.
    pub fn again(reason: impl fmt::Display) -> Acted {
        Acted(object! { "outcome": "error", "error": reason.to_string() })
    }

    /// The next attempt is not to be made earlier than that.
    pub fn after(mut self, pause: std::time::Duration) -> Acted {
        self.0.set("retry_after_ms", pause.as_millis() as u64);
        self
    }

    /// Gives later steps a value that the manifest declares.
    pub fn output(mut self, name: &str, value: impl Into<Value>) -> Acted {
        let mut output = self.0["output"].clone();
        output.set(name, value);
        self.0.set("output", output);
        self
    }

    /// pass, fail or error
    pub fn outcome(&self) -> &str {
        self.0["outcome"].as_str().unwrap_or("")
    }

    pub(crate) fn document(self) -> Value {
        self.0
    }
}

/// What an action may return: [`Acted`], nothing (done), or a `Result` of one;
/// its error is refused when the next attempt would meet the same, otherwise
/// tried again.
pub trait IntoActed {
    fn into_acted(self) -> Acted;
}

impl IntoActed for Acted {
    fn into_acted(self) -> Acted {
        self
    }
}

impl IntoActed for () {
    fn into_acted(self) -> Acted {
        Acted::done("")
    }
}

impl<T: IntoActed, E: Into<Error>> IntoActed for Result<T, E> {
    fn into_acted(self) -> Acted {
        match self.map_err(Into::into) {
            Ok(v) => v.into_acted(),
            Err(e) if e.is_ours() && e.call().map_or(true, |c| c.code != "storage") => Acted::refused(e),
            Err(e) => Acted::again(e),
        }
    }
}

/// What a function may return: a value, or a `Result` of one.
pub trait IntoReturn {
    fn into_return(self) -> Result<Value, String>;
}

impl<T: Into<Value>, E: fmt::Display> IntoReturn for Result<T, E> {
    fn into_return(self) -> Result<Value, String> {
        self.map(Into::into).map_err(|e| e.to_string())
    }
}

macro_rules! plain_return {
    ($($t:ty),*) => {$(
        impl IntoReturn for $t {
            fn into_return(self) -> Result<Value, String> {
                Ok(self.into())
            }
        }
    )*};
}
plain_return!(f64, f32, i64, i32, u64, u32, usize, bool, String, &str, Value, Vec<Value>, Vec<f64>, Vec<String>);

#[cfg(test)]
mod tests {
    use super::*;

    fn written(a: impl IntoAnswer) -> String {
        a.into_answer().document().to_string()
    }

    fn call(code: &str) -> Error {
        CallError { code: code.into(), message: "no".into() }.into()
    }

    #[test]
    fn comfortable_answers() {
        assert_eq!(written(true), r#"{"outcome":"pass"}"#);
        assert_eq!(written(false), r#"{"outcome":"fail","summary":"it does not hold","error":"it does not hold"}"#);
        assert_eq!(written(7), r#"{"outcome":"pass","summary":"7","samples":{"value":7}}"#);
        assert_eq!(written(2.5), r#"{"outcome":"pass","summary":"2.5","samples":{"value":2.5}}"#);
        assert_eq!(written("well"), r#"{"outcome":"pass","summary":"well"}"#);
        assert_eq!(written(object! { "n": 1 }), r#"{"outcome":"pass","samples":{"n":1}}"#);
        assert_eq!(written(()), r#"{"outcome":"pass"}"#);
        assert_eq!(written(Answer::warn("hot").sample("t", 9).detail("d")), r#"{"outcome":"warn","summary":"hot","samples":{"t":9},"detail":"d","error":"hot"}"#);
        assert_eq!(written(Err::<(), _>("gone")), r#"{"outcome":"fail","summary":"gone","error":"gone"}"#);
        assert_eq!(written(Ok::<_, Error>(3)), r#"{"outcome":"pass","summary":"3","samples":{"value":3}}"#);
        assert!(written(Value::List(vec![])).starts_with(r#"{"outcome":"error""#));
    }

    #[test]
    fn errors_tell_whose_they_are() {
        for code in ["denied", "invalid", "quota", "too_large", "not_found", "storage"] {
            assert_eq!(Answer::unreached(call(code)).outcome(), "error", "{}", code);
        }
        for code in ["timeout", "dns", "connect", "tls", "redirects", "protocol"] {
            assert_eq!(Answer::unreached(call(code)).outcome(), "fail", "{}", code);
        }
        assert_eq!(Answer::unreached(Error::config("bad")).outcome(), "error");
        assert_eq!(written(Err::<(), _>(call("denied"))), r#"{"outcome":"error","error":"no (denied)"}"#);
        let parsed: Result<(), Error> = "x".parse::<f64>().map(|_| ()).map_err(Into::into);
        assert_eq!(parsed.into_answer().outcome(), "fail");
    }

    #[test]
    fn actions() {
        let done = Acted::done("told").output("id", "7").output("n", 1).document().to_string();
        assert_eq!(done, r#"{"outcome":"pass","summary":"told","output":{"id":"7","n":1}}"#);
        let again = Acted::again("full").after(std::time::Duration::from_secs(2)).document().to_string();
        assert_eq!(again, r#"{"outcome":"error","error":"full","retry_after_ms":2000}"#);
        assert_eq!(Err::<(), _>(call("denied")).into_acted().outcome(), "fail");
        assert_eq!(Err::<(), _>(call("storage")).into_acted().outcome(), "error");
        assert_eq!(Err::<(), _>(call("timeout")).into_acted().outcome(), "error");
        assert_eq!(Err::<(), _>(Error::config("bad")).into_acted().outcome(), "fail");
        assert_eq!(().into_acted().outcome(), "pass");
    }
}
