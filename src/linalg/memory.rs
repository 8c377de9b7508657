//! Memory that may not be there.
//!
//! In Rust a vector that cannot be allocated ends the process. So the kernels announce how much what
//! they do next may take (`room`), and their drivers look whether there is as much before they let
//! them (`expect`). What drivers copy themselves they allocate by `reserve`; kernels that can be started
//! again give their vectors a `size`, and end where that fails.
//!
//! To look means to allocate and to give back: whoever takes memory in another thread just then can
//! still take what was found. Looking also serves what no vector of ours is: work space inside
//! ndarray-linalg, and many small things, which a margin is left for.

use std::hint::black_box;

use bytemuck::Zeroable;
use bytemuck::allocation::try_zeroed_vec;

/// There is not as much memory; how many bytes were looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfMemory(pub usize);

/// So little is not looked for.
const SMALL: usize = 4 << 10;

/// What is left for all that is not counted: allocators round up, Python makes objects, and threads
/// have work space.
const MARGIN: usize = if cfg!(test) { 0 } else { 4 << 20 };

/// Looks whether there are so many bytes.
pub fn expect(bytes: usize) -> Result<(), OutOfMemory> {
    if bytes < SMALL {
        return Ok(());
    }
    let mut block = Vec::<u8>::new();
    let found = block.try_reserve_exact(bytes.saturating_add(bytes / 64).saturating_add(MARGIN));
    // Memory that nobody sees would not be allocated at all.
    black_box(&mut block);
    found.map_err(|_| OutOfMemory(bytes))
}

/// Makes room for so many more elements, and leaves the margin.
pub fn reserve<T>(vector: &mut Vec<T>, additional: usize) -> Result<(), OutOfMemory> {
    if additional <= vector.capacity() - vector.len() {
        return Ok(());
    }
    expect(bytes_of::<T>(vector.len().saturating_add(additional)))?;
    vector.try_reserve(additional).map_err(|_| OutOfMemory(bytes_of::<T>(additional)))
}

/// A vector of so many zeros.
pub fn zeros<T: Zeroable>(count: usize) -> Result<Vec<T>, OutOfMemory> {
    try_zeroed_vec(count).map_err(|()| OutOfMemory(bytes_of::<T>(count)))
}

/// Gives a vector this many elements, of which the new ones are zero; one that has them stays as it
/// is.
pub fn size<T: Zeroable>(vector: &mut Vec<T>, count: usize) -> Result<(), OutOfMemory> {
    if vector.len() >= count {
        vector.truncate(count);
    } else if vector.capacity() == 0 {
        *vector = zeros(count)?;
    } else {
        let missing = count - vector.len();
        vector.try_reserve_exact(missing).map_err(|_| OutOfMemory(bytes_of::<T>(missing)))?;
        vector.resize_with(count, T::zeroed);
    }
    Ok(())
}

/// The bytes of so many elements.
pub const fn bytes_of<T>(elements: usize) -> usize {
    elements.saturating_mul(size_of::<T>())
}

/// The bytes that a vector of this length takes where the one at hand does not hold as many.
pub fn missing<T>(at_hand: &Vec<T>, length: usize) -> usize {
    if at_hand.capacity() < length { bytes_of::<T>(length) } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_there_can_be_is_not_found() {
        for bytes in [usize::MAX, isize::MAX as usize, 1 << 60] {
            assert_eq!(expect(bytes), Err(OutOfMemory(bytes)));
        }
        assert_eq!(expect(1 << 20), Ok(()));
        let mut vector = vec![1.0];
        assert!(reserve(&mut vector, usize::MAX).is_err());
        assert_eq!(reserve(&mut vector, 1000), Ok(()));
        assert!(vector.capacity() > 1000 && vector == [1.0]);
    }
}
