// A reactor that looks for what an earlier run left, and leaves something
// wherever it can: each word of its memory gets a value that its address
// gives, so that nothing else can be taken for it.
use std::cell::RefCell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Mutex;

#[link(wasm_import_module = "tocsin_v1")]
extern "C" {
    fn output_write(text: *const u8, length: usize);
}

static RUNS: AtomicUsize = AtomicUsize::new(0);
static KEPT: Mutex<Vec<Vec<u64>>> = Mutex::new(Vec::new());
static mut ZEROED: [u64; 8192] = [0; 8192];

thread_local! {
    static TEXTS: RefCell<Vec<String>> = RefCell::new(Vec::new());
}

fn mark(at: usize) -> u64 {
    (at as u64).wrapping_mul(0x9e3779b97f4a7c15) ^ 0x5ca1ab1e5ca1ab1e
}

unsafe fn stain(from: *mut u64, words: usize) {
    for i in 0..words {
        let at = from.add(i);
        at.write_volatile(mark(at as usize));
    }
}

#[inline(never)]
fn deep(n: usize) -> u64 {
    let mut frame = [0u64; 64];
    unsafe { stain(frame.as_mut_ptr(), 64) };
    let below = if n > 0 { deep(n - 1) } else { 0 };
    below ^ unsafe { std::ptr::addr_of!(frame[n % 64]).read_volatile() }
}

#[no_mangle]
pub extern "C" fn tocsin_abi_v1() {}

#[no_mangle]
pub extern "C" fn tocsin_describe() -> i32 {
    0
}

#[no_mangle]
pub extern "C" fn tocsin_collect() -> i32 {
    let end = core::arch::wasm32::memory_size(0) << 16;
    let mut found = 0;
    for at in (1024..end).step_by(8) {
        if unsafe { (at as *const u64).read_volatile() } == mark(at) {
            found += 1;
        }
    }
    if RUNS.fetch_add(1, Ordering::Relaxed) != 0 || !KEPT.lock().unwrap().is_empty() || TEXTS.with(|t| !t.borrow().is_empty()) {
        found += 1_000_000;
    }
    let outcome = if found == 0 { "pass" } else { "fail" };
    let answer = format!("{{\"outcome\":\"{}\",\"summary\":\"{} words of {} bytes\"}}", outcome, found, end);
    unsafe { output_write(answer.as_ptr(), answer.len()) };

    let mut kept = KEPT.lock().unwrap();
    for size in [100, 1000, 400_000] {
        let mut v = vec![0u64; size];
        unsafe { stain(v.as_mut_ptr(), size) };
        kept.push(v);
    }
    TEXTS.with(|t| t.borrow_mut().push("a text of this run".to_string()));
    deep(60);
    unsafe { stain(std::ptr::addr_of_mut!(ZEROED) as *mut u64, 8192) };
    let last = core::arch::wasm32::memory_grow(0, 4) << 16;
    unsafe { stain(last as *mut u64, 4 << 13) };
    0
}
