//! The threads that passes over long vectors share.

use std::sync::OnceLock;

use rayon::{ThreadPool, ThreadPoolBuilder};

/// What became of starting threads, and in which process.
struct Started {
    pool: Option<ThreadPool>,
    process: u32,
}

/// The threads, which are started when somebody first asks for them. None where they could not be
/// started (a limit on processes or memory), and in a forked process: it has none of the threads
/// that its parent started, and would wait for them forever.
pub fn pool() -> Option<&'static ThreadPool> {
    static STARTED: OnceLock<Started> = OnceLock::new();
    let started = STARTED.get_or_init(|| Started {
        pool: ThreadPoolBuilder::new().build().ok(),
        process: std::process::id(),
    });
    started.pool.as_ref().filter(|_| started.process == std::process::id())
}
