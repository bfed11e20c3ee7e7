//! A disk whose syncs fail, in front of the C library's own: from the `KUP_TEST_SYNCS`th `fdatasync` of the
//! process on each is an error. No module of the tests: those that need it build it and load it.

#![allow(unsafe_code)]

use std::ffi::c_int;
use std::sync::atomic::{AtomicUsize, Ordering};

const EIO: c_int = 5;

static SYNCS: AtomicUsize = AtomicUsize::new(0);

unsafe extern "C" {
    fn __errno_location() -> *mut c_int;
}

/// Stands in for the system's.
#[unsafe(no_mangle)]
pub extern "C" fn fdatasync(_: c_int) -> c_int {
    let from = std::env::var("KUP_TEST_SYNCS").ok().and_then(|from| from.parse().ok());
    if SYNCS.fetch_add(1, Ordering::Relaxed) + 1 < from.unwrap_or(usize::MAX) {
        return 0;
    }
    // SAFETY: the C library gives each thread an `errno` of its own, which lives as long as the thread.
    unsafe { *__errno_location() = EIO };
    -1
}
