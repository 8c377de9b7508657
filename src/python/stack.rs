//! What is left of the thread's stack, which solves within solves use up.
//!
//! Python counts its own calls, but not what the frames between them need: a thread with a small
//! stack is at its end before Python's limit is.

use std::cell::Cell;
use std::panic::resume_unwind;
use std::sync::{Mutex, PoisonError};
use std::thread;

use pyo3::exceptions::PyRecursionError;
use pyo3::prelude::*;

/// What LAPACK may take: OpenBLAS keeps the lists of its threads' work there, one for each level of
/// a recursive factorization, and was seen to need 4.5 MiB.
pub const FOR_LAPACK: usize = 8 << 20;

/// Where so much is left LAPACK may run as well. The usual stack of 8 MiB has it.
const ENOUGH_FOR_LAPACK: usize = 6 << 20;

/// What has to be left to begin a solve within a solve, with what a user's function takes.
const FOR_A_SOLVE: usize = 128 << 10;

/// Of a small stack, this part has to be left instead.
const PART: usize = 4;

/// The addresses of a stack, which grows towards the lower one.
#[derive(Clone, Copy)]
struct Stack {
    low: usize,
    size: usize,
}

impl Stack {
    fn left(self) -> usize {
        let here = 0u8;
        (&raw const here).addr().saturating_sub(self.low)
    }
}

/// That of this thread; None where the system does not tell.
fn current() -> Option<Stack> {
    thread_local! {
        static STACK: Cell<Option<Option<Stack>>> = const { Cell::new(None) };
    }
    STACK.get().unwrap_or_else(|| {
        let stack = of_this_thread();
        STACK.set(Some(stack));
        stack
    })
}

/// Refuses to begin a solve within a solve where the stack may be too short for it.
pub fn expect_room() -> PyResult<()> {
    match current() {
        Some(stack) if stack.left() < FOR_A_SOLVE.min(stack.size / PART) => {
            Err(PyRecursionError::new_err(
                "maximum recursion depth exceeded: the solve is within so many others that the \
                 stack of this thread is used up",
            ))
        }
        _ => Ok(()),
    }
}

/// Runs work that may call LAPACK: here, or in a thread of its own where the stack is too short.
pub fn with_room_for_lapack<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    if current().is_none_or(|stack| stack.left() >= ENOUGH_FOR_LAPACK) {
        return work();
    }
    // A thread that does not start takes what it was given with it, and so it is lent the work.
    let work = Mutex::new(Some(work));
    let take = || work.lock().unwrap_or_else(PoisonError::into_inner).take();
    let outcome = thread::scope(|scope| {
        let builder = thread::Builder::new().name("raphson".into()).stack_size(FOR_LAPACK);
        let started = builder.spawn_scoped(scope, || take().map(|work| work()));
        started.ok()?.join().unwrap_or_else(|panic| resume_unwind(panic))
    });
    match outcome {
        Some(outcome) => outcome,
        // There are no more threads to be had.
        None => take().map(|work| work()).expect("no thread has taken the work"),
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn of_this_thread() -> Option<Stack> {
    let (mut low, mut size) = (std::ptr::null_mut(), 0);
    // SAFETY: the attributes are written by the first call, and destroyed if it succeeds; an
    // all-zero value is one to be written to.
    let found = unsafe {
        let mut attributes: libc::pthread_attr_t = std::mem::zeroed();
        if libc::pthread_getattr_np(libc::pthread_self(), &mut attributes) != 0 {
            return None;
        }
        let found = libc::pthread_attr_getstack(&attributes, &mut low, &mut size);
        libc::pthread_attr_destroy(&mut attributes);
        found
    };
    (found == 0).then(|| Stack { low: low.addr(), size })
}

#[cfg(target_vendor = "apple")]
fn of_this_thread() -> Option<Stack> {
    // SAFETY: a thread may ask about itself.
    let (high, size) = unsafe {
        let thread = libc::pthread_self();
        (libc::pthread_get_stackaddr_np(thread).addr(), libc::pthread_get_stacksize_np(thread))
    };
    Some(Stack { low: high.checked_sub(size)?, size })
}

/// There Python's limit has to do.
#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
fn of_this_thread() -> Option<Stack> {
    None
}
