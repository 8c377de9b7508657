//! Long work in a thread of its own, so that Ctrl-C need not wait for it.
//!
//! LAPACK cannot be interrupted. A session that has seconds of work goes to another thread with it,
//! and this one looks for signals until it is back. After a Ctrl-C the exception comes at once; the
//! session finishes its work, and whoever uses the solver next waits for it.

use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyCFunction, PyDict, PyTuple};

use super::session::Session;

/// How often signals are looked for.
const GLANCE: Duration = Duration::from_millis(50);

/// What LAPACK may take on its stack; the default for threads is 2 MiB.
const STACK: usize = 8 << 20;

/// From so many multiplications on (some 10 ms), the work takes far longer than starting a thread.
const WORTH_A_THREAD: usize = 1 << 26;

/// Whether so much work, a product of dimensions, is worth a thread.
pub fn is_long(dimensions: [usize; 3]) -> bool {
    dimensions.into_iter().fold(1, usize::saturating_mul) >= WORTH_A_THREAD
}

/// How many sessions are at work.
static AT_WORK: Mutex<usize> = Mutex::new(0);
static ONE_IS_BACK: Condvar = Condvar::new();

struct Presence;

impl Presence {
    fn new() -> Self {
        *AT_WORK.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        Presence
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        *AT_WORK.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        ONE_IS_BACK.notify_all();
    }
}

/// A session that is at work.
pub struct Errand(Mutex<Receiver<Box<dyn Session>>>);

/// Whether this is the thread that Python handles signals in.
pub fn sees_signals(py: Python<'_>) -> PyResult<bool> {
    let threading = py.import("threading")?;
    let main = threading.call_method0("main_thread")?.getattr("ident")?;
    threading.call_method0("get_ident")?.eq(main)
}

impl Errand {
    pub fn start(py: Python<'_>, mut session: Box<dyn Session>) -> Self {
        let (go, gone) = channel::<Box<dyn Session>>();
        let (come_back, back) = channel();
        let presence = Presence::new();
        let come_back_from_thread = come_back.clone();
        let thread = std::thread::Builder::new().name("raphson".into()).stack_size(STACK);
        let started = thread.spawn(move || {
            if let Ok(mut session) = gone.recv() {
                session.work();
                // Nobody may be waiting any more.
                let _ = come_back_from_thread.send(session);
            }
            drop(presence);
        });
        if started.is_ok() {
            let _ = go.send(session);
        } else {
            py.detach(|| session.work());
            let _ = come_back.send(session);
        }
        Errand(Mutex::new(back))
    }

    /// The session when it is back. A signal's exception comes at once, and this can wait again.
    pub fn wait(&mut self, py: Python<'_>) -> PyResult<Box<dyn Session>> {
        loop {
            let look = || {
                let back = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
                back.recv_timeout(GLANCE)
            };
            match py.detach(look) {
                Ok(session) => return Ok(session),
                Err(RecvTimeoutError::Timeout) => {
                    if let Err(interrupt) = py.check_signals() {
                        wait_at_exit(py)?;
                        return Err(interrupt);
                    }
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(PyRuntimeError::new_err("the solver is lost: its work failed"));
                }
            }
        }
    }
}

/// BLAS takes its memory down when the process ends, which nobody may be working in then.
fn wait_at_exit(py: Python<'_>) -> PyResult<()> {
    static REGISTERED: PyOnceLock<()> = PyOnceLock::new();
    REGISTERED
        .get_or_try_init(py, || {
            let owner = std::process::id();
            let wait = move |arguments: &Bound<'_, PyTuple>, _: Option<&Bound<'_, PyDict>>| {
                // A forked process has none of the threads.
                if std::process::id() == owner {
                    arguments.py().detach(wait_for_all);
                }
            };
            let wait = PyCFunction::new_closure(py, None, None, wait)?;
            py.import("atexit")?.call_method1("register", (wait,)).map(|_| ())
        })
        .map(|_| ())
}

fn wait_for_all() {
    let mut at_work = AT_WORK.lock().unwrap_or_else(PoisonError::into_inner);
    while *at_work > 0 {
        at_work = ONE_IS_BACK.wait(at_work).unwrap_or_else(PoisonError::into_inner);
    }
}
