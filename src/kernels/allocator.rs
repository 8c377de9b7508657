//! Tests: memory that has an end, and is counted.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// No number in a small file may ask for more than this at once.
const MOST_MEMORY: usize = 1 << 26;

thread_local! {
    /// What this thread has taken and not given back, and the most that it ever was.
    static HELD: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
    /// How often this thread has taken memory.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// The most that this thread holds at once while it does something, beyond what it does before.
#[cfg(feature = "system-lapack")]
pub fn taken<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD.get();
    MOST.set(before);
    let outcome = work();
    (outcome, MOST.get().abs_diff(before))
}

/// How often this thread has taken memory.
pub fn allocations() -> u64 {
    ALLOCATIONS.get()
}

struct Allocator;

impl Allocator {
    fn count(bytes: isize) {
        HELD.set(HELD.get() + bytes);
        MOST.set(MOST.get().max(HELD.get()));
    }
}

// SAFETY: it is the system's allocator, or there is no memory; counting allocates nothing.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.size() > MOST_MEMORY {
            return std::ptr::null_mut();
        }
        Self::count(layout.size() as isize);
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        Self::count(-(layout.size() as isize));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;
