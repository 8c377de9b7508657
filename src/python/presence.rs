//! Who is in a solve, for the end of the process to wait for; and what Python calls around forks.
//!
//! BLAS takes its memory down when the process ends, whether or not somebody computes with it, and
//! does not survive a fork in the middle of its work. So both wait for work that is done without the
//! GIL (`detached`, and errands; see `forks`).
//!
//! A daemon thread that comes back to an interpreter that is gone is ended by Python, which unwinds
//! its stack, and what is dropped on the way needs the interpreter. So the end also waits until
//! nobody is `Inside` a solve, and whoever wants to come inside then first sleeps, once. In a
//! function of the user's, which may take forever, a thread is `outside` (`call.rs`). Somebody
//! inside may still wait for Python: for a lock in a `__float__`, say, or an exit handler for them.
//! So neither waits for long.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::{IntoPyDict, PyCFunction, PyDict, PyTuple};

use super::memory::no_memory;
use super::stack;
use crate::forks::{self, AtWork, GLANCE};
use crate::linalg::memory;

/// Threads that are inside.
static INSIDE: AtomicUsize = AtomicUsize::new(0);
/// The end has begun: a thread that wants to come inside sleeps first.
static ENDING: AtomicBool = AtomicBool::new(false);

thread_local! {
    static IS_INSIDE: Cell<bool> = const { Cell::new(false) };
    /// How many solves this thread is in, one within a function of the other.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
    /// This thread has slept, or is the one that the process ends in.
    static IS_READY: Cell<bool> = const { Cell::new(false) };
}

/// How long those wait where Python may be what they wait for.
const PATIENCE: Duration = Duration::from_secs(1);

/// Begins to work, at first with the GIL.
pub fn at_work(py: Python<'_>) -> AtWork {
    AtWork::begin(|time| py.detach(|| std::thread::sleep(time)))
}

/// Works without the GIL, with so many bytes of memory; a MemoryError where they are not there.
pub fn detached<T: Send>(
    py: Python<'_>,
    room: usize,
    work: impl FnOnce() -> T + Send,
) -> PyResult<T> {
    let at_work = at_work(py);
    let outcome = py.detach(|| {
        // Threads have memory of their own, so this looks in the one that works.
        let outcome = stack::with_room_for_lapack(|| memory::expect(room).map(|()| work()));
        drop(at_work);
        outcome
    });
    outcome.map_err(no_memory)
}

/// This thread is in a solve.
pub struct Inside {
    /// It was not before.
    first: bool,
}

impl Inside {
    /// A RecursionError where there are too many solves around this one.
    pub fn new(py: Python<'_>) -> PyResult<Self> {
        let depth = DEPTH.get();
        if depth > 0 {
            stack::expect_room()?;
        }
        DEPTH.set(depth + 1);
        IS_INSIDE.with(|is_inside| {
            let first = !is_inside.get();
            if first {
                enter(py, is_inside);
            }
            Ok(Inside { first })
        })
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get() - 1);
        if self.first {
            IS_INSIDE.with(leave);
        }
    }
}

/// Runs something of the user's: a thread that was inside is not, for as long as that takes.
pub fn outside<T>(py: Python<'_>, of_the_user: impl FnOnce() -> T) -> T {
    IS_INSIDE.with(|is_inside| {
        if !is_inside.get() {
            return of_the_user();
        }
        leave(is_inside);
        let returned = of_the_user();
        enter(py, is_inside);
        returned
    })
}

fn enter(py: Python<'_>, is_inside: &Cell<bool>) {
    INSIDE.fetch_add(1, SeqCst);
    if ENDING.load(SeqCst) && !IS_READY.replace(true) {
        INSIDE.fetch_sub(1, SeqCst);
        // There is no way back from here if the interpreter is gone by then.
        py.detach(|| std::thread::sleep(PATIENCE));
        INSIDE.fetch_add(1, SeqCst);
    }
    is_inside.set(true);
}

fn leave(is_inside: &Cell<bool>) {
    is_inside.set(false);
    INSIDE.fetch_sub(1, SeqCst);
}

/// Has Python call what is below when the process is forked and ends. To be called once, and early:
/// what is registered later is called before us.
pub fn register(py: Python<'_>) -> PyResult<()> {
    py.import("atexit")?.call_method1("register", (hook(py, before_end)?,))?;
    // Windows has no fork.
    if let Some(register) = py.import("os")?.getattr_opt("register_at_fork")? {
        let hooks = [
            ("before", hook(py, before_fork)?),
            ("after_in_parent", hook(py, |_| forks::over_in_parent())?),
            ("after_in_child", hook(py, |_| after_fork_in_child())?),
        ];
        register.call((), Some(&hooks.into_py_dict(py)?))?;
    }
    Ok(())
}

fn hook(py: Python<'_>, run: fn(Python<'_>)) -> PyResult<Bound<'_, PyCFunction>> {
    let run = move |arguments: &Bound<'_, PyTuple>, _: Option<&Bound<'_, PyDict>>| {
        run(arguments.py());
    };
    PyCFunction::new_closure(py, None, None, run)
}

fn before_fork(py: Python<'_>) {
    forks::announce();
    py.detach(forks::await_rest);
}

/// Of all threads, the child has this one only.
fn after_fork_in_child() {
    forks::over_in_child();
    INSIDE.store(usize::from(IS_INSIDE.get()), SeqCst);
}

fn before_end(py: Python<'_>) {
    IS_READY.set(true);
    ENDING.store(true, SeqCst);
    py.detach(|| {
        let mut patience = PATIENCE;
        loop {
            let at_work = forks::at_work();
            if !at_work && (INSIDE.load(SeqCst) == 0 || patience.is_zero()) {
                return;
            }
            std::thread::sleep(GLANCE);
            if !at_work {
                patience = patience.saturating_sub(GLANCE);
            }
        }
    });
}
