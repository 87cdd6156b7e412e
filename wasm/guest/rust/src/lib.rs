//! Write collectors, actions of rules and functions of expressions for Tocsin.
//!
//! A module says what it is, gathers one answer per run, and names both to
//! [`module!`]:
//!
//! ```
//! use tocsin::{Answer, Error, Manifest, Run, Type};
//!
//! tocsin::config! {
//!     struct Config {
//!         /// what to ask
//!         url: String,
//!         /// fail above this
//!         max: f64 [minimum: 0] = 100.0,
//!     }
//! }
//!
//! fn describe() -> Manifest {
//!     Manifest::new("jobs", "1.0.0").doc("How many jobs wait.").config::<Config>()
//!         .sample("jobs", Type::Number, "", "jobs that wait").http("https://*:*")
//! }
//!
//! fn collect(run: &Run) -> Result<Answer, Error> {
//!     let config: Config = run.config()?;
//!     let page = run.fetch_json(&config.url)?;
//!     let jobs = page["jobs"].as_f64().ok_or("the page names no jobs")?;
//!     let answer = if jobs > config.max { Answer::fail("too many jobs wait") } else { Answer::pass("ok") };
//!     Ok(answer.sample("jobs", jobs))
//! }
//!
//! tocsin::module!(describe, collect);
//! # fn main() {}
//! ```
//!
//! Build it as a `cdylib` for `wasm32-unknown-unknown` or `wasm32-wasip1`, or
//! with `tocsin module build`. The crate has no dependencies. Everything but
//! the calls to the host works natively as well: test a collector with
//! `cargo test` and a [`Host`] of the test's own, see [`run_with`].

mod answer;
mod config;
mod host;
mod json;
mod manifest;
mod run;

pub use answer::{Acted, Answer, CallError, Error, IntoActed, IntoAnswer, IntoReturn};
pub use config::{Config, Field};
pub use host::{act_with, call_with, exports, run_with, Host, Level};
pub use json::Value;
pub use manifest::{Manifest, Type, Typed};
pub use run::{Certificate, Connection, HttpRequest, HttpResponse, Run, TlsInfo};

/// Exports what the host calls: `module!(describe, collect)`, and besides or
/// instead of `collect` an action and functions:
///
/// ```
/// # use tocsin::{Acted, Manifest, Run};
/// # fn describe() -> Manifest { Manifest::new("x", "1").function::<(f64,), f64>("double", "", &["x"]) }
/// # fn act(_: &Run) -> Acted { Acted::done("told") }
/// fn double(x: f64) -> f64 {
///     2.0 * x
/// }
/// tocsin::module!(describe, act: act, functions: { double(x) });
/// # fn main() {}
/// ```
///
/// A function has the parameters that [`Manifest::function`] declares, and
/// returns a value or a `Result` of one.
#[macro_export]
macro_rules! module {
    ($describe:path, $collect:path $(, $key:ident : $what:tt)* $(,)?) => {
        $crate::module!(@describe $describe);
        $crate::module!(@collect $collect);
        $($crate::module!(@$key $what);)*
    };
    ($describe:path $(, $key:ident : $what:tt)* $(,)?) => {
        $crate::module!(@describe $describe);
        $($crate::module!(@$key $what);)*
    };
    (@describe $describe:path) => {
        const _: () = {
            #[export_name = "tocsin_abi_v1"]
            extern "C" fn tocsin_export_marker() -> i32 {
                1
            }
            #[export_name = "tocsin_describe"]
            extern "C" fn tocsin_export_describe() -> i32 {
                $crate::exports::describe($describe)
            }
        };
    };
    (@collect $collect:path) => {
        const _: () = {
            #[export_name = "tocsin_collect"]
            extern "C" fn tocsin_export_collect() -> i32 {
                $crate::exports::collect(|run| $crate::IntoAnswer::into_answer($collect(run)))
            }
        };
    };
    (@act $act:ident) => {
        const _: () = {
            #[export_name = "tocsin_act"]
            extern "C" fn tocsin_export_act() -> i32 {
                $crate::exports::act(|run| $crate::IntoActed::into_acted($act(run)))
            }
        };
    };
    (@functions { $($name:ident ( $($param:ident),* )),* $(,)? }) => {
        $(const _: () = {
            #[export_name = concat!("tocsin_fn_", stringify!($name))]
            extern "C" fn tocsin_export_call() -> i32 {
                $crate::exports::call(|args| {
                    let mut args = args.iter();
                    $(let $param = $crate::Field::read(args.next().unwrap_or(&$crate::Value::Null)).map_err(|e| format!("{}: {}", stringify!($param), e))?;)*
                    $crate::IntoReturn::into_return($name($($param),*))
                })
            }
        };)*
    };
}
