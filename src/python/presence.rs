//! Who is in a solve, and who computes, for forks and the end of the process to wait for.
//!
//! BLAS stops its threads before the process is forked, and takes its memory down when it ends,
//! whether or not somebody computes with it; then there are locks that nobody opens any more, or
//! crashes. So both wait for work that is done without the GIL (`detached`, and errands). It runs
//! no Python, so it ends.
//!
//! A daemon thread that comes back to an interpreter that is gone is ended by Python, which unwinds
//! its stack, and what is dropped on the way needs the interpreter. So the end also waits until
//! nobody is `Inside` a solve, and whoever wants to come inside then first sleeps, once. In a
//! function of the user's, which may take forever, a thread is `outside` (`call.rs`). Somebody
//! inside may still wait for Python: for a lock in a `__float__`, say, or an exit handler for them.
//! So neither waits for long.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyo3::types::{IntoPyDict, PyCFunction, PyDict, PyTuple};

/// Threads that work without the GIL.
static AT_WORK: AtomicUsize = AtomicUsize::new(0);
/// Threads that are inside.
static INSIDE: AtomicUsize = AtomicUsize::new(0);
/// Threads that are about to fork: no other begins to work.
static FORKING: AtomicUsize = AtomicUsize::new(0);
/// The end has begun: a thread that wants to come inside sleeps first.
static ENDING: AtomicBool = AtomicBool::new(false);

thread_local! {
    static IS_INSIDE: Cell<bool> = const { Cell::new(false) };
    /// This thread has slept, or is the one that the process ends in.
    static IS_READY: Cell<bool> = const { Cell::new(false) };
    /// How many forks this thread has begun: a hook may fork as well.
    static FORKS: Cell<usize> = const { Cell::new(0) };
}

/// How often those who wait look again.
const GLANCE: Duration = Duration::from_millis(1);
/// How long they do where Python may be what they wait for.
const PATIENCE: Duration = Duration::from_secs(1);

/// Somebody at work without the GIL, in this thread or another.
pub struct AtWork(());

impl AtWork {
    pub fn new(py: Python<'_>) -> Self {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            AT_WORK.fetch_add(1, SeqCst);
            if FORKING.load(SeqCst) == 0 || FORKS.get() > 0 {
                return AtWork(());
            }
            AT_WORK.fetch_sub(1, SeqCst);
            py.detach(|| std::thread::sleep(GLANCE));
        }
        AT_WORK.fetch_add(1, SeqCst);
        AtWork(())
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        AT_WORK.fetch_sub(1, SeqCst);
    }
}

/// Works without the GIL.
pub fn detached<T: Send>(py: Python<'_>, work: impl FnOnce() -> T + Send) -> T {
    let at_work = AtWork::new(py);
    py.detach(|| {
        let outcome = work();
        drop(at_work);
        outcome
    })
}

/// This thread is in a solve.
pub struct Inside {
    /// It was not before.
    first: bool,
}

impl Inside {
    pub fn new(py: Python<'_>) -> Self {
        IS_INSIDE.with(|is_inside| {
            let first = !is_inside.get();
            if first {
                enter(py, is_inside);
            }
            Inside { first }
        })
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
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
            ("after_in_parent", hook(py, |_| after_fork_in_parent())?),
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
    FORKS.set(FORKS.get() + 1);
    FORKING.fetch_add(1, SeqCst);
    py.detach(|| {
        while AT_WORK.load(SeqCst) > 0 {
            std::thread::sleep(GLANCE);
        }
    });
}

fn after_fork_in_parent() {
    // A fork that had begun when this was registered did not begin here.
    if let Some(others) = FORKS.get().checked_sub(1) {
        FORKS.set(others);
        FORKING.fetch_sub(1, SeqCst);
    }
}

/// Of all threads, the child has this one only.
fn after_fork_in_child() {
    AT_WORK.store(0, SeqCst);
    INSIDE.store(usize::from(IS_INSIDE.get()), SeqCst);
    FORKS.set(0);
    FORKING.store(0, SeqCst);
}

fn before_end(py: Python<'_>) {
    IS_READY.set(true);
    ENDING.store(true, SeqCst);
    py.detach(|| {
        let mut patience = PATIENCE;
        loop {
            let at_work = AT_WORK.load(SeqCst) > 0;
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
