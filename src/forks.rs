//! Work that a fork waits for.
//!
//! BLAS stops its threads before the process is forked, whether or not somebody computes with it;
//! then there are locks that nobody opens any more. So whoever computes beside the thread that may
//! fork says so (`AtWork`), and the fork waits. It waits without a limit, because what is waited for
//! is our own work, which ends. Code of the user's need not end: a thread that runs some in the
//! middle of its work does so `aside`, where no fork waits for it.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// Threads that are at work.
static AT_WORK: AtomicUsize = AtomicUsize::new(0);
/// Threads that are about to fork: no other begins to work.
static FORKING: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// How many forks this thread has begun: what is run before a fork may fork as well.
    static FORKS: Cell<usize> = const { Cell::new(0) };
}

/// How often those who wait look again.
pub const GLANCE: Duration = Duration::from_millis(1);
/// How long a thread that wants to work waits for a fork, which may be waiting for that thread.
const PATIENCE: Duration = Duration::from_secs(1);

/// Somebody at work, in this thread or another.
pub struct AtWork(());

impl AtWork {
    /// Begins, after a fork that is under way; `sleep` lets it go on.
    pub fn begin(sleep: impl Fn(Duration)) -> Self {
        enter(sleep);
        AtWork(())
    }

    /// Runs something of the user's, which may take forever and does not count as work.
    pub fn aside<T>(&mut self, of_the_user: impl FnOnce() -> T) -> T {
        /// Comes back to work even where the user's code panics.
        struct Back;

        impl Drop for Back {
            fn drop(&mut self) {
                enter(std::thread::sleep);
            }
        }

        AT_WORK.fetch_sub(1, SeqCst);
        let _back = Back;
        of_the_user()
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        AT_WORK.fetch_sub(1, SeqCst);
    }
}

fn enter(sleep: impl Fn(Duration)) {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        AT_WORK.fetch_add(1, SeqCst);
        if FORKING.load(SeqCst) == 0 || FORKS.get() > 0 {
            return;
        }
        AT_WORK.fetch_sub(1, SeqCst);
        sleep(GLANCE);
    }
    AT_WORK.fetch_add(1, SeqCst);
}

/// Whether anybody is at work.
pub fn at_work() -> bool {
    AT_WORK.load(SeqCst) > 0
}

/// Keeps others from beginning to work.
pub fn announce() {
    FORKS.set(FORKS.get() + 1);
    FORKING.fetch_add(1, SeqCst);
}

/// Waits until nobody is at work.
pub fn await_rest() {
    while at_work() {
        std::thread::sleep(GLANCE);
    }
}

/// The fork that this thread has announced is over, and this is the process that it began in.
pub fn over_in_parent() {
    // A fork may have begun before there was anybody to announce it to.
    if let Some(others) = FORKS.get().checked_sub(1) {
        FORKS.set(others);
        FORKING.fetch_sub(1, SeqCst);
    }
}

/// This is the new process: of all threads it has this one only.
pub fn over_in_child() {
    AT_WORK.store(0, SeqCst);
    FORKS.set(0);
    FORKING.store(0, SeqCst);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;
    use std::thread;

    const LONG: Duration = Duration::from_millis(100);

    #[test]
    fn a_fork_waits_for_work_but_not_for_what_the_user_does_within_it() {
        let (end_user_code, user_code) = channel::<()>();
        let (say_aside, aside) = channel();
        let worker = thread::spawn(move || {
            let mut work = AtWork::begin(thread::sleep);
            thread::sleep(LONG);
            work.aside(|| {
                say_aside.send(Instant::now()).unwrap();
                user_code.recv().unwrap();
            });
            Instant::now()
        });
        while !at_work() {
            thread::yield_now();
        }
        announce();
        // With the user's code counted as work this would not come back.
        await_rest();
        assert!(Instant::now() >= aside.recv().unwrap());

        end_user_code.send(()).unwrap();
        thread::sleep(LONG);
        assert!(!at_work(), "nobody goes back to work while there is a fork");
        let over = Instant::now();
        over_in_parent();
        assert!(worker.join().unwrap() >= over);
        assert!(!at_work());
    }
}
