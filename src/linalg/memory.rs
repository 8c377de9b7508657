//! Memory that may not be there: whatever has the size of a problem is allocated here, because an
//! allocation that fails elsewhere ends the process.

use bytemuck::Zeroable;

/// There is no memory for a problem of this size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfMemory;

/// A vector of so many zeros.
pub fn zeros<T: Zeroable>(count: usize) -> Result<Vec<T>, OutOfMemory> {
    bytemuck::allocation::try_zeroed_vec(count).map_err(|()| OutOfMemory)
}

/// Gives a vector this many elements; one that has them stays as it is.
pub fn size<T: Zeroable>(vector: &mut Vec<T>, count: usize) -> Result<(), OutOfMemory> {
    if vector.len() > count {
        vector.truncate(count);
    } else if vector.capacity() == 0 {
        *vector = zeros(count)?;
    } else if vector.len() < count {
        vector.try_reserve_exact(count - vector.len()).map_err(|_| OutOfMemory)?;
        vector.resize_with(count, T::zeroed);
    }
    Ok(())
}
