//! A disk whose syncs fail, in front of the C library's own: from the `KUP_TEST_SYNCS`th `fdatasync` of the
//! process on each is the error `KUP_TEST_ERROR`. No module of the tests: those that need it build it and load it.

#![allow(unsafe_code)]

use std::ffi::c_int;
use std::sync::atomic::{AtomicUsize, Ordering};

static SYNCS: AtomicUsize = AtomicUsize::new(0);

unsafe extern "C" {
    fn __errno_location() -> *mut c_int;
}

/// Stands in for the system's.
#[unsafe(no_mangle)]
pub extern "C" fn fdatasync(_: c_int) -> c_int {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u16>().ok();
    let (Some(from), Some(error)) = (number("KUP_TEST_SYNCS"), number("KUP_TEST_ERROR")) else { return 0 };
    if SYNCS.fetch_add(1, Ordering::Relaxed) + 1 < usize::from(from) {
        return 0;
    }
    // SAFETY: the C library gives each thread an `errno` of its own, which lives as long as the thread.
    unsafe { *__errno_location() = c_int::from(error) };
    -1
}
