//! Long work in a thread of its own, so that Ctrl-C need not wait for it.
//!
//! LAPACK cannot be interrupted. A session that has seconds of work goes to another thread with it,
//! and this one looks for signals until it is back. After a Ctrl-C the exception comes at once; the
//! session finishes its work, and whoever uses the solver next waits for it.

use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use super::session::Session;
use crate::forks::AtWork;
use crate::linalg::memory::{self, OutOfMemory};
use crate::python::memory::no_memory;
use crate::python::stack::FOR_LAPACK;

/// How often signals are looked for.
const GLANCE: Duration = Duration::from_millis(50);

/// From so many multiplications on (some 10 ms), the work takes far longer than starting a thread.
const WORTH_A_THREAD: usize = 1 << 26;

/// Whether so much work, a product of dimensions, is worth a thread.
pub fn is_long(dimensions: [usize; 3]) -> bool {
    dimensions.into_iter().fold(1, usize::saturating_mul) >= WORTH_A_THREAD
}

/// Whether this is the thread that Python handles signals in.
pub fn sees_signals(py: Python<'_>) -> PyResult<bool> {
    let threading = py.import("threading")?;
    let main = threading.call_method0("main_thread")?.getattr("ident")?;
    threading.call_method0("get_ident")?.eq(main)
}

/// A session that comes back: from its work, or because there was no memory for it.
struct Done {
    session: Box<dyn Session>,
    found: Result<(), OutOfMemory>,
}

impl Done {
    fn work(mut session: Box<dyn Session>) -> Self {
        let found = memory::expect(session.room());
        if found.is_ok() {
            session.work();
        }
        Done { session, found }
    }
}

/// A session that is at work.
pub struct Errand {
    back: Mutex<Receiver<Done>>,
    process: u32,
}

impl Errand {
    pub fn start(py: Python<'_>, session: Box<dyn Session>, at_work: AtWork) -> Self {
        let (go, gone) = channel::<(Box<dyn Session>, AtWork)>();
        let (come_back, back) = channel();
        let come_back_from_thread = come_back.clone();
        let thread = std::thread::Builder::new().name("raphson".into()).stack_size(FOR_LAPACK);
        let started = thread.spawn(move || {
            if let Ok((session, _at_work)) = gone.recv() {
                // Nobody may be waiting any more.
                let _ = come_back_from_thread.send(Done::work(session));
            }
        });
        if started.is_ok() {
            let _ = go.send((session, at_work));
        } else {
            // There are no more threads to be had, and so Ctrl-C has to wait.
            let done = py.detach(|| Done::work(session));
            drop(at_work);
            let _ = come_back.send(done);
        }
        Errand { back: Mutex::new(back), process: std::process::id() }
    }

    /// The session when it is back, and whether it found the memory to work. A signal's exception
    /// comes at once, and this can wait again.
    pub fn wait(&mut self, py: Python<'_>) -> PyResult<(Box<dyn Session>, PyResult<()>)> {
        // A fork waits for the work. One that Python knows nothing of does not, and has no thread
        // to do it.
        let forked = self.process != std::process::id();
        let patience = if forked { Duration::ZERO } else { GLANCE };
        loop {
            let look = || {
                let back = self.back.get_mut().unwrap_or_else(PoisonError::into_inner);
                back.recv_timeout(patience)
            };
            match py.detach(look) {
                Ok(done) => return Ok((done.session, done.found.map_err(no_memory))),
                Err(RecvTimeoutError::Timeout) if forked => {
                    return Err(PyRuntimeError::new_err(
                        "the solver is lost: it was at work when this process was forked",
                    ));
                }
                Err(RecvTimeoutError::Timeout) => py.check_signals()?,
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(PyRuntimeError::new_err("the solver is lost: its work failed"));
                }
            }
        }
    }
}
