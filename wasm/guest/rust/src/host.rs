//! The host, in the sandbox and in tests.

use crate::answer::{Acted, Answer, IntoActed, IntoAnswer};
use crate::json::Value;
use crate::run::Run;

/// Level of a line of the log.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Level {
    Debug = 0,
    Info = 1,
    Warn = 2,
    Error = 3,
}

/// What a module can call. Tests bring one of their own.
pub trait Host {
    /// A function of the host by its name, with a document and the answer to it.
    fn call(&self, name: &str, request: &str) -> String;
    fn log(&self, level: Level, text: &str);
    /// Nanoseconds since 1970-01-01 UTC.
    fn now(&self) -> i64;
    fn random(&self, buffer: &mut [u8]);
}

/// Runs a collector natively, for tests: with a configuration as JSON and a
/// host of the test.
pub fn run_with<A: IntoAnswer>(collect: impl Fn(&Run) -> A, config: &str, host: &dyn Host) -> Answer {
    collect(&request(config, host)).into_answer()
}

/// Runs an action natively, for tests.
pub fn act_with<A: IntoActed>(act: impl Fn(&Run) -> A, config: &str, host: &dyn Host) -> Acted {
    act(&request(config, host)).into_acted()
}

/// Calls a function natively with arguments as a JSON list, for tests: what
/// the host would read.
pub fn call_with(call: impl Fn(&[Value]) -> Result<Value, String>, args: &str) -> Value {
    returned(call(Value::parse(args).expect("the arguments are JSON").as_list()))
}

fn request<'a>(config: &str, host: &'a dyn Host) -> Run<'a> {
    let config = Value::parse(config).expect("the configuration is JSON");
    Run { request: crate::object! { "config": config }, host }
}

fn returned(result: Result<Value, String>) -> Value {
    match result {
        Ok(value) => crate::object! { "value": value },
        Err(e) => crate::object! { "value": Value::Null, "error": e },
    }
}

/// What [`module!`](crate::module) calls.
#[doc(hidden)]
pub mod exports {
    use super::*;
    use crate::manifest::Manifest;

    pub fn describe(describe: impl Fn() -> Manifest) -> i32 {
        prepare();
        let manifest = describe();
        let collects = manifest.collects();
        write(&manifest.document(collects).to_string())
    }

    pub fn collect(collect: impl Fn(&Run) -> Answer) -> i32 {
        answer(|run| collect(run).document())
    }

    pub fn act(act: impl Fn(&Run) -> Acted) -> i32 {
        answer(|run| act(run).document())
    }

    pub fn call(call: impl Fn(&[Value]) -> Result<Value, String>) -> i32 {
        answer(|run| returned(call(run.request["args"].as_list())))
    }

    fn answer(make: impl Fn(&Run) -> Value) -> i32 {
        prepare();
        match Value::parse(&input()) {
            Ok(request) => write(&make(&Run { request, host: &Outside }).to_string()),
            Err(e) => {
                write(&format!("request: {}", e));
                1
            }
        }
    }
}

#[cfg(target_arch = "wasm32")]
use wasm::{input, prepare, write, Outside};

#[cfg(target_arch = "wasm32")]
mod wasm {
    use super::{Host, Level};

    #[link(wasm_import_module = "tocsin_v1")]
    extern "C" {
        fn input_length() -> u32;
        fn input_read(ptr: *mut u8, len: usize) -> u32;
        fn output_write(ptr: *const u8, len: usize);
        #[link_name = "log"]
        fn log_line(level: u32, ptr: *const u8, len: usize);
        fn now() -> i64;
        fn random(ptr: *mut u8, len: usize);
        fn http(ptr: *const u8, len: usize) -> u32;
        fn tcp(ptr: *const u8, len: usize) -> u32;
        fn tls_info(ptr: *const u8, len: usize) -> u32;
        fn dns(ptr: *const u8, len: usize) -> u32;
        fn kv_get(ptr: *const u8, len: usize) -> u32;
        fn kv_set(ptr: *const u8, len: usize) -> u32;
        fn secret(ptr: *const u8, len: usize) -> u32;
        fn reveal(ptr: *const u8, len: usize) -> u32;
    }

    /// The host outside of the sandbox.
    pub struct Outside;

    impl Host for Outside {
        fn call(&self, name: &str, request: &str) -> String {
            let (ptr, len) = (request.as_ptr(), request.len());
            // The ranges are those of a text, and the host only reads them.
            unsafe {
                match name {
                    "http" => http(ptr, len),
                    "tcp" => tcp(ptr, len),
                    "tls_info" => tls_info(ptr, len),
                    "dns" => dns(ptr, len),
                    "kv_get" => kv_get(ptr, len),
                    "kv_set" => kv_set(ptr, len),
                    "secret" => secret(ptr, len),
                    "reveal" => reveal(ptr, len),
                    _ => return r#"{"error":{"code":"invalid","message":"the host has no such function"}}"#.to_string(),
                };
            }
            input()
        }

        fn log(&self, level: Level, text: &str) {
            unsafe { log_line(level as u32, text.as_ptr(), text.len()) }
        }

        fn now(&self) -> i64 {
            unsafe { now() }
        }

        fn random(&self, buffer: &mut [u8]) {
            unsafe { random(buffer.as_mut_ptr(), buffer.len()) }
        }
    }

    /// A panic becomes a line of the log, which the error of the run shows.
    pub fn prepare() {
        std::panic::set_hook(Box::new(|info| {
            let what = info.payload();
            let what = what.downcast_ref::<&str>().copied().or_else(|| what.downcast_ref::<String>().map(String::as_str)).unwrap_or("it panicked");
            let place = info.location().map_or(String::new(), |l| format!(" at {}:{}", l.file(), l.line()));
            Outside.log(Level::Error, &format!("panic: {}{}", what, place));
        }));
    }

    /// The current input.
    pub fn input() -> String {
        let mut bytes = vec![0u8; unsafe { input_length() } as usize];
        let mut at = 0;
        while at < bytes.len() {
            match unsafe { input_read(bytes.as_mut_ptr().add(at), bytes.len() - at) } {
                0 => break,
                n => at += n as usize,
            }
        }
        bytes.truncate(at);
        String::from_utf8(bytes).unwrap_or_default()
    }

    pub fn write(text: &str) -> i32 {
        unsafe { output_write(text.as_ptr(), text.len()) };
        0
    }
}

// A native program has no host: what it exports is never called.
#[cfg(not(target_arch = "wasm32"))]
use native::{input, prepare, write, Outside};

#[cfg(not(target_arch = "wasm32"))]
mod native {
    use super::{Host, Level};

    pub struct Outside;

    impl Host for Outside {
        fn call(&self, _: &str, _: &str) -> String {
            r#"{"error":{"code":"denied","message":"there is no host in a native program"}}"#.to_string()
        }
        fn log(&self, _: Level, _: &str) {}
        fn now(&self) -> i64 {
            0
        }
        fn random(&self, buffer: &mut [u8]) {
            buffer.fill(0)
        }
    }

    pub fn prepare() {}

    pub fn input() -> String {
        "{}".to_string()
    }

    pub fn write(_: &str) -> i32 {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::{CallError, Error, IntoReturn};
    use crate::run::HttpRequest;
    use crate::Config;
    use std::cell::RefCell;
    use std::time::Duration;

    /// A host with an answer for each function.
    #[derive(Default)]
    struct Fake {
        asked: RefCell<Vec<String>>,
        logged: RefCell<Vec<String>>,
    }

    impl Host for Fake {
        fn call(&self, name: &str, request: &str) -> String {
            self.asked.borrow_mut().push(format!("{} {}", name, request));
            let q = Value::parse(request).unwrap();
            match (name, q["op"].as_str()) {
                ("http", _) if q["url"].as_str() == Some("http://page/") => r#"{"status":200,"url":"http://page/","headers":{"x-a":"b"},"body":"{\"n\":3}","duration_ms":1.5}"#,
                ("http", _) if q["url"].as_str() == Some("http://broken/") => r#"{"status":502,"url":"http://broken/","duration_ms":1}"#,
                ("http", _) if q["url"].as_str() == Some("http://bytes/") => r#"{"status":200,"url":"http://bytes/","body_base64":"/w==","duration_ms":1}"#,
                ("http", _) => r#"{"duration_ms":0,"error":{"code":"denied","message":"not granted"}}"#,
                ("tcp", Some("dial")) => r#"{"conn":4,"duration_ms":1}"#,
                ("tcp", Some("receive")) => r#"{"data":"+OK\r\n","duration_ms":1}"#,
                ("tcp", _) => r#"{"sent":4,"duration_ms":1}"#,
                ("tls_info", _) => r#"{"version":"TLS 1.3","verified":false,"verify_error":"expired","certificates":[{"subject":"CN=a","dns_names":["a","b"],"not_after":"2026-11-25T09:05:51Z"}],"duration_ms":2}"#,
                ("dns", _) => r#"{"records":["192.0.2.1"],"duration_ms":1}"#,
                ("kv_get", _) if q["key"].as_str() == Some("k") => r#"{"found":true,"value":"v"}"#,
                ("kv_get", _) => r#"{"found":false}"#,
                ("kv_set", _) => r#"{"found":true}"#,
                ("secret", _) => r#"{"handle":"h"}"#,
                ("reveal", _) => r#"{"error":{"code":"denied","message":"no"}}"#,
                _ => "what?",
            }
            .to_string()
        }
        fn log(&self, level: Level, text: &str) {
            self.logged.borrow_mut().push(format!("{:?} {}", level, text));
        }
        fn now(&self) -> i64 {
            7_500_000_000
        }
        fn random(&self, buffer: &mut [u8]) {
            buffer.fill(9)
        }
    }

    crate::config! {
        struct Settings {
            url: String,
            max: f64 = 100.0,
        }
    }

    fn collect(run: &Run) -> Result<Answer, Error> {
        let c: Settings = run.config()?;
        run.info(&format!("asking {}", c.url));
        let n = run.fetch_json(&c.url)?["n"].as_f64().ok_or("no n")?;
        Ok(Answer::pass(format!("{} of {}", n, c.max)).sample("n", n))
    }

    #[test]
    fn runs_a_collector() {
        let host = Fake::default();
        for (config, outcome, summary) in [
            (r#"{"url":"http://page/"}"#, "pass", "3 of 100"),
            (r#"{"url":"http://broken/"}"#, "fail", "http://broken/ answered 502"),
            (r#"{"url":"http://bytes/"}"#, "fail", "http://bytes/ answered what is not UTF-8"),
            (r#"{"url":"http://other/"}"#, "error", "not granted (denied)"),
            (r#"{"url":3}"#, "error", "configuration: url: text is expected, it is a number"),
        ] {
            let got = run_with(collect, config, &host);
            assert_eq!((got.outcome(), got.summary()), (outcome, summary));
        }
        assert_eq!(host.logged.borrow()[0], "Info asking http://page/");
        assert_eq!(host.asked.borrow()[0], r#"http {"method":"GET","url":"http://page/","headers":{"Accept":"application/json"}}"#);
        assert!(<Settings as Config>::schema().to_string().contains(r#""required":["url"]"#));
    }

    #[test]
    fn calls_the_host() {
        let host = Fake::default();
        let run = request("{}", &host);
        let page = run.http(HttpRequest::post("http://page/", "x").header("A", "b").timeout(Duration::from_secs(1)).no_redirect()).unwrap();
        assert_eq!((page.status, page.header("x-a"), page.header("none"), page.duration), (200, "b", "", Duration::from_micros(1500)));
        assert_eq!(
            host.asked.borrow()[0],
            r#"http {"method":"POST","url":"http://page/","body":"x","headers":{"A":"b"},"timeout_ms":1000,"no_redirect":true}"#
        );
        let conn = run.tcp("a:1", true).unwrap();
        conn.send("PING").unwrap();
        conn.send_bytes(&[255]).unwrap();
        assert_eq!(conn.receive("\r\n", 100).unwrap(), b"+OK\r\n");
        conn.close().unwrap();
        assert_eq!(host.asked.borrow()[2], r#"tcp {"op":"send","conn":4,"data":"PING"}"#);
        assert_eq!(host.asked.borrow()[3], r#"tcp {"op":"send","conn":4,"data_base64":"/w=="}"#);
        let tls = run.tls_info("a").unwrap();
        assert_eq!((tls.verified, tls.verify_error.as_str(), tls.certificates[0].dns_names.len()), (false, "expired", 2));
        assert_eq!(tls.certificates[0].expires().unwrap(), 1_795_597_551.0);
        assert_eq!(run.dns("a", "A").unwrap(), ["192.0.2.1"]);
        assert_eq!(run.kept("k").unwrap().as_deref(), Some("v"));
        assert_eq!(run.kept("none").unwrap(), None);
        run.keep("k", "w").unwrap();
        run.forget("k").unwrap();
        assert_eq!(run.secret("s").unwrap(), "h");
        assert_eq!(run.reveal("s").unwrap_err().call(), Some(&CallError { code: "denied".into(), message: "no".into() }));
        assert!(run.call("other", &Value::Null).unwrap_err().is_ours());
        assert_eq!(run.now(), 7.5);
        let mut b = [0; 2];
        run.random(&mut b);
        assert_eq!(b, [9, 9]);
    }

    #[test]
    fn functions_return() {
        fn half(n: f64) -> Result<f64, String> {
            if n < 0.0 {
                return Err("below zero".to_string());
            }
            Ok(n / 2.0)
        }
        let call = |args: &[Value]| half(args[0].as_f64().unwrap()).into_return();
        assert_eq!(call_with(call, "[3]").to_string(), r#"{"value":1.5}"#);
        assert_eq!(call_with(call, "[-1]").to_string(), r#"{"value":null,"error":"below zero"}"#);
        assert_eq!(act_with(|_: &Run| (), "{}", &Fake::default()).outcome(), "pass");
    }
}
