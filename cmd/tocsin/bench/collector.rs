// A collector in Rust: it looks for a number in its configuration and compares
// it with another.
//
//	rustc --target wasm32-wasi --crate-type cdylib -O -C lto -C panic=abort -C strip=symbols -o rust.wasm collector.rs

#[link(wasm_import_module = "tocsin_v1")]
extern "C" {
    fn input_length() -> i32;
    fn input_read(to: *mut u8, most: i32) -> i32;
    fn output_write(from: *const u8, length: i32);
}

fn write(text: &str) {
    unsafe { output_write(text.as_ptr(), text.len() as i32) }
}

fn read() -> String {
    unsafe {
        let mut bytes = vec![0; input_length() as usize];
        let n = input_read(bytes.as_mut_ptr(), bytes.len() as i32);
        bytes.truncate(n as usize);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

fn number(request: &str, name: &str) -> Result<f64, String> {
    let key = format!("\"{name}\":");
    let at = request.find(&key).ok_or(format!("{name} is not configured"))? + key.len();
    let text: String = request[at..].chars().take_while(|c| !",} ".contains(*c)).collect();
    text.parse().map_err(|e| format!("{name} is {text}: {e}"))
}

fn collect(request: &str) -> Result<String, String> {
    let (used, most) = (number(request, "used")?, number(request, "most")?);
    let outcome = if used < most { "pass" } else { "fail" };
    Ok(format!("{{\"outcome\":\"{outcome}\",\"summary\":\"{used} of {most} used\",\"samples\":{{\"n\":{used:.1}}}}}"))
}

#[no_mangle]
pub extern "C" fn tocsin_abi_v1() {}

#[no_mangle]
pub extern "C" fn tocsin_describe() -> i32 {
    write(r#"{"abi":"tocsin/1","name":"bench-rust","version":"1.0.0","offers":["collector"],"samples":[{"name":"n","type":"number"}],"wants":{"limits":{}}}"#);
    0
}

#[no_mangle]
pub extern "C" fn tocsin_collect() -> i32 {
    match collect(&read()) {
        Ok(answer) => write(&answer),
        Err(why) => write(&format!("{{\"outcome\":\"error\",\"error\":{why:?}}}")),
    }
    0
}
