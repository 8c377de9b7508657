//! Who is at work in a solve. The end of the process waits for them, and so do forks.
//!
//! BLAS takes its memory down when the process ends, and its threads before it is forked, whether or
//! not somebody computes with it; then there are crashes, or locks that nobody opens any more. So
//! both wait until nobody is `Inside`, and whoever wants to come inside meanwhile waits until the
//! fork is done, or sleeps until the process has ended. In a function of the user's, which may take
//! forever, a thread is `Outside`.
//!
//! What can be left at the end of the process are daemon threads, and a step that goes on after
//! Ctrl-C.

use std::cell::Cell;
use std::mem::forget;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{IntoPyDict, PyCFunction, PyDict, PyTuple};

static AT_WORK: AtomicUsize = AtomicUsize::new(0);
/// The end has begun: only the main thread may come inside.
static ENDING: AtomicBool = AtomicBool::new(false);
/// How many threads are about to fork: nobody else may come inside.
static FORKING: AtomicUsize = AtomicUsize::new(0);

/// How often those who wait look again.
const GLANCE: Duration = Duration::from_millis(1);

thread_local! {
    /// This thread is inside, and counted.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
    /// This thread is about to fork, and was inside or not.
    static FORKS: Cell<Option<bool>> = const { Cell::new(None) };
}

/// Somebody at work, in this thread or another.
pub struct Presence(());

impl Presence {
    pub fn new(py: Python<'_>) -> PyResult<Self> {
        register(py)?;
        Ok(Self::counted(py))
    }

    fn counted(py: Python<'_>) -> Self {
        loop {
            AT_WORK.fetch_add(1, SeqCst);
            let presence = Presence(());
            if ENDING.load(SeqCst) && !in_main_thread(py).unwrap_or(true) {
                drop(presence);
                py.detach(|| sleep_forever());
            } else if FORKING.load(SeqCst) > 0 && FORKS.get().is_none() {
                drop(presence);
                py.detach(|| std::thread::sleep(GLANCE));
            } else {
                return presence;
            }
        }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        AT_WORK.fetch_sub(1, SeqCst);
    }
}

/// A thread that is in a solve, but in no function of the user's.
pub struct Inside {
    /// None where the thread was inside before.
    presence: Option<Presence>,
}

impl Inside {
    pub fn new(py: Python<'_>) -> PyResult<Self> {
        let presence = if INSIDE.get() { None } else { Some(Presence::new(py)?) };
        INSIDE.set(true);
        Ok(Inside { presence })
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        if self.presence.is_some() {
            INSIDE.set(false);
        }
    }
}

/// A thread that was inside, for as long as it is not.
pub struct Outside(());

impl Outside {
    pub fn new() -> Option<Self> {
        INSIDE.replace(false).then(|| {
            AT_WORK.fetch_sub(1, SeqCst);
            Outside(())
        })
    }

    pub fn end(self, py: Python<'_>) {
        forget(Presence::counted(py));
        INSIDE.set(true);
    }
}

/// Whether this is the thread that Python handles signals in, and that it ends in.
pub fn in_main_thread(py: Python<'_>) -> PyResult<bool> {
    let threading = py.import("threading")?;
    let main = threading.call_method0("main_thread")?.getattr("ident")?;
    threading.call_method0("get_ident")?.eq(main)
}

/// What a daemon thread does while the process ends.
pub fn sleep_forever() -> ! {
    loop {
        std::thread::park();
    }
}

fn register(py: Python<'_>) -> PyResult<()> {
    static REGISTERED: PyOnceLock<()> = PyOnceLock::new();
    REGISTERED
        .get_or_try_init(py, || {
            py.import("atexit")?.call_method1("register", (hook(py, before_end)?,))?;
            // Windows has no fork.
            if let Some(register) = py.import("os")?.getattr_opt("register_at_fork")? {
                let hooks = [
                    ("before", hook(py, before_fork)?),
                    ("after_in_parent", hook(py, |_| after_fork(true))?),
                    ("after_in_child", hook(py, |_| after_fork(false))?),
                ];
                register.call((), Some(&hooks.into_py_dict(py)?))?;
            }
            Ok(())
        })
        .copied()
}

fn hook(py: Python<'_>, run: fn(Python<'_>)) -> PyResult<Bound<'_, PyCFunction>> {
    let run = move |arguments: &Bound<'_, PyTuple>, _: Option<&Bound<'_, PyDict>>| {
        run(arguments.py());
    };
    PyCFunction::new_closure(py, None, None, run)
}

fn before_end(py: Python<'_>) {
    ENDING.store(true, SeqCst);
    wait_for_all(py);
}

fn before_fork(py: Python<'_>) {
    let inside = INSIDE.replace(false);
    if inside {
        AT_WORK.fetch_sub(1, SeqCst);
    }
    FORKS.set(Some(inside));
    FORKING.fetch_add(1, SeqCst);
    wait_for_all(py);
}

fn after_fork(in_parent: bool) {
    if in_parent {
        FORKING.fetch_sub(1, SeqCst);
    } else {
        // No other thread is left.
        FORKING.store(0, SeqCst);
        AT_WORK.store(0, SeqCst);
    }
    if FORKS.take() == Some(true) {
        AT_WORK.fetch_add(1, SeqCst);
        INSIDE.set(true);
    }
}

fn wait_for_all(py: Python<'_>) {
    py.detach(|| {
        while AT_WORK.load(SeqCst) > 0 {
            std::thread::sleep(GLANCE);
        }
    });
}
