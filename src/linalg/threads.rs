//! The threads that passes over long vectors share.

use std::hint::black_box;
use std::sync::OnceLock;

use rayon::{ThreadPool, ThreadPoolBuilder};

/// What became of starting threads, and in which process.
struct Started {
    pool: Option<ThreadPool>,
    process: u32,
}

/// So many unknowns or equations are worked on by threads sooner or later.
const MANY: usize = 10_000;

/// Starts the threads for a problem of this size, if it is one for threads: they have memory of their
/// own, which has to be gone before anybody looks how much there is.
pub fn start_for(size: usize) {
    if size >= MANY {
        pool();
    }
}

/// The threads, which are started when somebody first asks for them. None where they could not be
/// started (a limit on processes, say), where memory is nearly used up, and in a forked process: it
/// has none of the threads that its parent started, and would wait for them forever.
pub fn pool() -> Option<&'static ThreadPool> {
    static STARTED: OnceLock<Started> = OnceLock::new();
    if !is_memory_left() {
        return None;
    }
    let started = STARTED.get_or_init(|| {
        let pool = ThreadPoolBuilder::new().build().ok();
        if let Some(pool) = &pool {
            // An allocator sets memory aside for each thread that asks for some.
            pool.broadcast(|_| drop(black_box(Box::new(0u8))));
        }
        Started { pool, process: std::process::id() }
    });
    started.pool.as_ref().filter(|_| started.process == std::process::id())
}

/// What threads may take while they work.
#[cfg(unix)]
const FOR_THREADS: usize = 32 << 20;

/// Whether there is memory that no allocator has yet. The memory that one has free is for the thread
/// that computes alone: the allocator of glibc does not give it to others that it has set nothing
/// aside for.
#[cfg(unix)]
fn is_memory_left() -> bool {
    use libc::{MAP_ANONYMOUS, MAP_FAILED, MAP_PRIVATE, PROT_READ, PROT_WRITE, mmap, munmap};
    // SAFETY: nobody uses the pages that are mapped, and only those are unmapped.
    unsafe {
        let (use_of, kind) = (PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
        let pages = mmap(std::ptr::null_mut(), FOR_THREADS, use_of, kind, -1, 0);
        pages != MAP_FAILED && munmap(pages, FOR_THREADS) == 0
    }
}

#[cfg(not(unix))]
fn is_memory_left() -> bool {
    true
}
