//! One run: what it is asked, and the calls to the host.

use crate::answer::{CallError, Error};
use crate::config::{self, Config};
use crate::host::{Host, Level};
use crate::json::Value;
use crate::object;
use std::time::Duration;

/// One call of a collector or an action.
pub struct Run<'a> {
    /// The request, as `wasm/abi` of Tocsin describes it.
    pub request: Value,
    pub(crate) host: &'a dyn Host,
}

/// A request by HTTP.
#[derive(Clone, Debug)]
pub struct HttpRequest(Value);

impl HttpRequest {
    pub fn new(method: &str, url: &str) -> Self {
        HttpRequest(object! { "method": method, "url": url })
    }

    pub fn get(url: &str) -> Self {
        Self::new("GET", url)
    }

    pub fn post(url: &str, body: impl Into<String>) -> Self {
        Self::new("POST", url).body(body)
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        let mut headers = self.0["headers"].clone();
        headers.set(name, value);
        self.0.set("headers", headers);
        self
    }

    pub fn body(mut self, body: impl Into<String>) -> Self {
        self.0.set("body", body.into());
        self
    }

    /// Default: what the run has left.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.0.set("timeout_ms", limit.as_millis() as u64);
        self
    }

    /// Answers with a redirect instead of following it.
    pub fn no_redirect(mut self) -> Self {
        self.0.set("no_redirect", true);
        self
    }
}

/// An answer by HTTP.
#[derive(Clone, Debug)]
pub struct HttpResponse {
    pub status: u16,
    /// after redirects
    pub url: String,
    pub body: Vec<u8>,
    pub duration: Duration,
    headers: Value,
}

impl HttpResponse {
    /// A header by its name in lower case, empty when it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers[name].as_str().unwrap_or("")
    }

    /// The body as text.
    pub fn text(&self) -> Result<&str, Error> {
        std::str::from_utf8(&self.body).map_err(|_| format!("{} answered what is not UTF-8", self.url).into())
    }

    /// The body as JSON.
    pub fn json(&self) -> Result<Value, Error> {
        Value::parse(self.text()?).map_err(|e| format!("{} answered something else than JSON: {}", self.url, e).into())
    }

    pub fn ok(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// What a server showed in the handshake.
#[derive(Clone, Debug)]
pub struct TlsInfo {
    /// for example "TLS 1.3"
    pub version: String,
    pub cipher_suite: String,
    pub alpn: String,
    pub verified: bool,
    /// why it is not verified
    pub verify_error: String,
    /// leaf first
    pub certificates: Vec<Certificate>,
    pub duration: Duration,
}

/// A certificate of a server.
#[derive(Clone, Debug)]
pub struct Certificate {
    pub subject: String,
    pub issuer: String,
    pub dns_names: Vec<String>,
    /// RFC 3339, see [`Certificate::expires`]
    pub not_before: String,
    pub not_after: String,
    /// hex
    pub serial: String,
    pub sha256: String,
    /// for example "ECDSA P-256"
    pub key_type: String,
}

impl Certificate {
    fn read(v: &Value) -> Certificate {
        Certificate {
            subject: text(&v["subject"]),
            issuer: text(&v["issuer"]),
            dns_names: v["dns_names"].as_list().iter().map(text).collect(),
            not_before: text(&v["not_before"]),
            not_after: text(&v["not_after"]),
            serial: text(&v["serial"]),
            sha256: text(&v["sha256"]),
            key_type: text(&v["key_type"]),
        }
    }

    /// When it ends, in seconds since 1970-01-01 UTC.
    pub fn expires(&self) -> Result<f64, Error> {
        seconds(&self.not_after).ok_or_else(|| format!("the certificate ends at {:?}, which is no time", self.not_after).into())
    }
}

/// A connection by TCP. It ends with the run.
pub struct Connection<'a> {
    run: &'a Run<'a>,
    conn: Value,
}

impl Connection<'_> {
    pub fn send(&self, data: &str) -> Result<(), Error> {
        self.run.call("tcp", &object! { "op": "send", "conn": &self.conn, "data": data }).map(|_| ())
    }

    pub fn send_bytes(&self, data: &[u8]) -> Result<(), Error> {
        self.run.call("tcp", &object! { "op": "send", "conn": &self.conn, "data_base64": base64(data) }).map(|_| ())
    }

    /// Reads until `until`, which is included, and at most `max` bytes; with an
    /// empty `until` what is there. No bytes: the other side has closed.
    pub fn receive(&self, until: &str, max: usize) -> Result<Vec<u8>, Error> {
        let mut q = object! { "op": "receive", "conn": &self.conn, "max": max };
        if !until.is_empty() {
            q.set("until", until);
        }
        self.run.call("tcp", &q).map(|a| bytes(&a["data"], &a["data_base64"]))
    }

    pub fn close(self) -> Result<(), Error> {
        self.run.call("tcp", &object! { "op": "close", "conn": &self.conn }).map(|_| ())
    }
}

impl<'a> Run<'a> {
    /// The configuration.
    pub fn config<C: Config>(&self) -> Result<C, Error> {
        config::read(&self.request["config"])
    }

    /// The id of the system that is asked about.
    pub fn system(&self) -> &str {
        self.request["system"]["id"].as_str().unwrap_or("")
    }

    /// A tag of the system, empty when it has none.
    pub fn tag(&self, name: &str) -> &str {
        self.request["system"]["tags"][name].as_str().unwrap_or("")
    }

    /// Of an action: the same in every attempt. Send it along, so that what was
    /// done is not done twice.
    pub fn key(&self) -> &str {
        self.request["step"]["key"].as_str().unwrap_or("")
    }

    /// Of an action: which attempt this is, from 1.
    pub fn attempt(&self) -> u32 {
        self.request["step"]["attempt"].as_f64().unwrap_or(1.0) as u32
    }

    /// The host does what `name` means with a document, and answers with one.
    pub fn call(&self, name: &str, request: &Value) -> Result<Value, Error> {
        let answer = self.host.call(name, &request.to_string());
        let answer = Value::parse(&answer).map_err(|e| Error::Ours(format!("{}: answer of the host: {}", name, e)))?;
        match &answer["error"] {
            Value::Null => Ok(answer),
            e => Err(CallError { code: text(&e["code"]), message: text(&e["message"]) }.into()),
        }
    }

    pub fn http(&self, request: HttpRequest) -> Result<HttpResponse, Error> {
        let a = self.call("http", &request.0)?;
        Ok(HttpResponse {
            status: a["status"].as_f64().unwrap_or(0.0) as u16,
            url: text(&a["url"]),
            body: bytes(&a["body"], &a["body_base64"]),
            duration: millis(&a["duration_ms"]),
            headers: a["headers"].clone(),
        })
    }

    /// Fetches a URL and reads its JSON. A status other than 2xx is an error.
    pub fn fetch_json(&self, url: &str) -> Result<Value, Error> {
        let answer = self.http(HttpRequest::get(url).header("Accept", "application/json"))?;
        if !answer.ok() {
            return Err(format!("{} answered {}", url, answer.status).into());
        }
        answer.json()
    }

    /// Connects to host:port.
    pub fn tcp(&'a self, address: &str, tls: bool) -> Result<Connection<'a>, Error> {
        let a = self.call("tcp", &object! { "op": "dial", "address": address, "tls": tls })?;
        Ok(Connection { run: self, conn: a["conn"].clone() })
    }

    /// Asks host or host:port for its certificates, also when they are not valid.
    pub fn tls_info(&self, host: &str) -> Result<TlsInfo, Error> {
        let a = self.call("tls_info", &object! { "host": host })?;
        Ok(TlsInfo {
            version: text(&a["version"]),
            cipher_suite: text(&a["cipher_suite"]),
            alpn: text(&a["alpn"]),
            verified: a["verified"].as_bool().unwrap_or(false),
            verify_error: text(&a["verify_error"]),
            certificates: a["certificates"].as_list().iter().map(Certificate::read).collect(),
            duration: millis(&a["duration_ms"]),
        })
    }

    /// Looks up records: A, AAAA, CNAME, MX, NS, SRV or TXT.
    pub fn dns(&self, name: &str, kind: &str) -> Result<Vec<String>, Error> {
        let a = self.call("dns", &object! { "name": name, "type": kind })?;
        Ok(a["records"].as_list().iter().map(text).collect())
    }

    /// The value that was kept under a key.
    pub fn kept(&self, key: &str) -> Result<Option<String>, Error> {
        let a = self.call("kv_get", &object! { "key": key })?;
        Ok(if a["found"].as_bool() == Some(true) { Some(text(&a["value"])) } else { None })
    }

    /// Keeps a value under a key for later runs.
    pub fn keep(&self, key: &str, value: &str) -> Result<(), Error> {
        self.call("kv_set", &object! { "key": key, "value": value }).map(|_| ())
    }

    /// Forgets what is kept under a key.
    pub fn forget(&self, key: &str) -> Result<(), Error> {
        self.call("kv_set", &object! { "key": key, "delete": true }).map(|_| ())
    }

    /// A handle of a secret. The host puts the value in its place in what is
    /// sent; the module never reads it.
    pub fn secret(&self, name: &str) -> Result<String, Error> {
        self.call("secret", &object! { "name": name }).map(|a| text(&a["handle"]))
    }

    /// The value of a secret, which needs a grant of its own.
    pub fn reveal(&self, name: &str) -> Result<String, Error> {
        self.call("reveal", &object! { "name": name }).map(|a| text(&a["value"]))
    }

    /// Writes one line to the log of the run.
    pub fn log(&self, level: Level, text: &str) {
        self.host.log(level, text)
    }

    /// Writes one line to the log of the run.
    pub fn info(&self, text: &str) {
        self.log(Level::Info, text)
    }

    /// Seconds since 1970-01-01 UTC, by the clock of the run.
    pub fn now(&self) -> f64 {
        self.host.now() as f64 / 1e9
    }

    /// Nanoseconds since 1970-01-01 UTC, by the clock of the run.
    pub fn now_ns(&self) -> i64 {
        self.host.now()
    }

    /// Fills `buffer` from the generator of the run.
    pub fn random(&self, buffer: &mut [u8]) {
        self.host.random(buffer)
    }
}

fn text(v: &Value) -> String {
    v.as_str().unwrap_or("").to_string()
}

fn millis(v: &Value) -> Duration {
    Duration::from_nanos((v.as_f64().unwrap_or(0.0).max(0.0) * 1e6) as u64)
}

fn bytes(plain: &Value, encoded: &Value) -> Vec<u8> {
    match plain.as_str() {
        Some(s) => s.as_bytes().to_vec(),
        None => unbase64(encoded.as_str().unwrap_or("")),
    }
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn base64(data: &[u8]) -> String {
    let mut out = String::new();
    for chunk in data.chunks(3) {
        let n = chunk.iter().enumerate().fold(0u32, |n, (i, b)| n | (*b as u32) << (16 - 8 * i));
        for i in 0..4 {
            out.push(if i <= chunk.len() { ALPHABET[(n >> (18 - 6 * i)) as usize & 63] as char } else { '=' });
        }
    }
    out
}

fn unbase64(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let (mut n, mut bits) = (0u32, 0);
    for b in text.bytes() {
        let v = match ALPHABET.iter().position(|a| *a == b) {
            Some(v) => v as u32,
            None => continue, // padding
        };
        n = n << 6 | v;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            out.push((n >> bits) as u8);
            n &= (1 << bits) - 1;
        }
    }
    out
}

/// Seconds since 1970-01-01 UTC of RFC 3339 text.
fn seconds(text: &str) -> Option<f64> {
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let rest = text.get(19..)?;
    let zone_at = rest.find(|c: char| matches!(c, 'Z' | 'z' | '+' | '-'))?;
    let (fraction, zone) = rest.split_at(zone_at);
    let part = if fraction.is_empty() { 0.0 } else { format!("0{}", fraction).parse::<f64>().ok()? };
    let offset = if zone.eq_ignore_ascii_case("z") {
        0
    } else {
        let at = |from: usize, to: usize| zone.get(from..to)?.parse::<i64>().ok();
        let ahead = at(1, 3)? * 3600 + at(4, 6)? * 60;
        if zone.starts_with('-') { -ahead } else { ahead }
    };
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Days since 1970-01-01 of the proleptic Gregorian calendar, with the year
    // beginning in March.
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let of_era = y.rem_euclid(400);
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    Some((days * 86_400 + hour * 3600 + minute * 60 + second - offset) as f64 + part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (text, want) in [
            ("1970-01-01T00:00:00Z", Some(0.0)),
            ("2000-02-29T12:30:15Z", Some(951_827_415.0)),
            ("2026-11-25T09:05:51.5Z", Some(1_795_597_551.5)),
            ("2026-11-25T10:05:51+01:00", Some(1_795_597_551.0)),
            ("2026-11-25T03:35:51-05:30", Some(1_795_597_551.0)),
            ("1969-12-31T23:59:59Z", Some(-1.0)),
            ("2026-13-01T00:00:00Z", None),
            ("yesterday", None),
            ("", None),
        ] {
            assert_eq!(seconds(text), want, "{}", text);
        }
    }

    #[test]
    fn base64_both_ways() {
        for (plain, encoded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(plain.as_bytes()), encoded);
            assert_eq!(unbase64(encoded), plain.as_bytes());
        }
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(unbase64(&base64(&all)), all);
    }
}
