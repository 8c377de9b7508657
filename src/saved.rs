//! A solver's state as bytes.
//!
//! All numbers are in the byte order of the machine that wrote them, which the magic tells:
//!
//!     bytes  0 ..  8   the magic, `raphson<` (`raphson>` where the high byte comes first)
//!     bytes  8 .. 12   the version of the format
//!     bytes 12 .. 16   the CRC-32 of all that follows
//!     bytes 16 .. 24   the number of bytes that follow these
//!     from byte 24     two MessagePack objects: the [`Label`], and the state as a map that has the
//!                      names of the fields in the source
//!
//! Vectors are MessagePack binaries with their elements one after the other. Nothing in a file
//! names code, and whatever is read is checked before it is used: the checksum finds what went
//! wrong by accident, and `fits` of each kernel's state refuses what was made to mislead.

use std::io::Write;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::linalg::memory::{OutOfMemory, reserve};

/// Goes up whenever a file of the older version cannot be read as before.
pub const VERSION: u32 = 2;

const MAGIC: [u8; 8] = if cfg!(target_endian = "little") { *b"raphson<" } else { *b"raphson>" };
pub(crate) const HEADER: usize = 24;

/// Whose state it is.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Label {
    /// The class of the solver.
    pub solver: String,
    /// The numbers that it computes in, as NumPy calls them; empty where they are not known yet.
    pub dtype: String,
    /// The release that wrote it.
    pub release: String,
}

/// Why bytes are no state.
#[derive(Clone, Debug, PartialEq)]
pub enum Refusal {
    NotSaved,
    OtherByteOrder,
    OtherVersion(u32),
    Truncated { expected: u64, found: u64 },
    Altered,
    Inconsistent(String),
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Refusal::NotSaved => write!(f, "this is not the saved state of a raphson solver"),
            Refusal::OtherByteOrder => {
                write!(f, "it was saved on a machine with the other byte order")
            }
            Refusal::OtherVersion(version) => write!(
                f,
                "it has version {version} of the format; this release of raphson reads version \
                 {VERSION}"
            ),
            Refusal::Truncated { expected, found } => {
                write!(f, "it is truncated or has grown: {found} bytes instead of {expected}")
            }
            Refusal::Altered => write!(f, "it has been altered: the checksum is another"),
            Refusal::Inconsistent(reason) => write!(f, "its content is not a state: {reason}"),
        }
    }
}

pub fn to_bytes<S: Serialize>(label: &Label, state: &S) -> Result<Vec<u8>, Failure> {
    let mut length = Length(HEADER);
    write(&mut length, label, state)?;
    let mut bytes = Vec::new();
    reserve(&mut bytes, length.0).map_err(Failure::Memory)?;
    bytes.resize(HEADER, 0);
    write(&mut bytes, label, state)?;
    seal(&mut bytes);
    Ok(bytes)
}

/// Why a state is not saved.
#[derive(Debug)]
pub enum Failure {
    Memory(OutOfMemory),
    Unwritable(String),
}

fn write<S: Serialize>(to: &mut impl Write, label: &Label, state: &S) -> Result<(), Failure> {
    let unwritable = |error: rmp_serde::encode::Error| Failure::Unwritable(error.to_string());
    rmp_serde::encode::write_named(to, label).map_err(unwritable)?;
    rmp_serde::encode::write_named(to, state).map_err(unwritable)
}

/// Counts the bytes that are written to it.
struct Length(usize);

impl Write for Length {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Writes the header of what follows it.
pub(crate) fn seal(bytes: &mut [u8]) {
    let (header, content) = bytes.split_at_mut(HEADER);
    header[..8].copy_from_slice(&MAGIC);
    header[8..12].copy_from_slice(&VERSION.to_ne_bytes());
    header[12..16].copy_from_slice(&crc32fast::hash(content).to_ne_bytes());
    header[16..].copy_from_slice(&(content.len() as u64).to_ne_bytes());
}

/// Saved state whose header and checksum are right.
pub struct Saved<'a> {
    pub label: Label,
    state: rmp_serde::Deserializer<rmp_serde::decode::ReadRefReader<'a, [u8]>>,
}

impl<'a> Saved<'a> {
    pub fn open(bytes: &'a [u8]) -> Result<Self, Refusal> {
        let mut other_order = MAGIC;
        other_order[7] ^= b'<' ^ b'>';
        let Some((header, content)) = bytes.split_at_checked(HEADER) else {
            let begins = MAGIC.starts_with(&bytes[..bytes.len().min(8)]) && !bytes.is_empty();
            let (expected, found) = (HEADER as u64, bytes.len() as u64);
            return Err(match begins {
                true => Refusal::Truncated { expected, found },
                false => Refusal::NotSaved,
            });
        };
        if header[..8] == other_order {
            return Err(Refusal::OtherByteOrder);
        }
        if header[..8] != MAGIC {
            return Err(Refusal::NotSaved);
        }
        let word = |at: usize| std::array::from_fn(|i| header[at + i]);
        let version = u32::from_ne_bytes(word(8));
        if version != VERSION {
            return Err(Refusal::OtherVersion(version));
        }
        let expected = u64::from_ne_bytes(std::array::from_fn(|i| header[16 + i]));
        let found = content.len() as u64;
        if expected != found {
            return Err(Refusal::Truncated { expected, found });
        }
        if crc32fast::hash(content) != u32::from_ne_bytes(word(12)) {
            return Err(Refusal::Altered);
        }
        let mut state = rmp_serde::Deserializer::from_read_ref(content);
        let label = Label::deserialize(&mut state).map_err(inconsistent)?;
        Ok(Saved { label, state })
    }

    /// The state, which must be all that is left. It may still be inconsistent in itself.
    pub fn state<S: DeserializeOwned>(mut self) -> Result<S, Refusal> {
        let state = S::deserialize(&mut self.state).map_err(inconsistent)?;
        match serde::de::IgnoredAny::deserialize(&mut self.state) {
            Err(_) => Ok(state),
            Ok(_) => Err(Refusal::Inconsistent("something follows the state".into())),
        }
    }
}

fn inconsistent(error: rmp_serde::decode::Error) -> Refusal {
    Refusal::Inconsistent(error.to_string())
}

/// A count of what has happened. No solve lives to see so many that one more would overflow.
pub mod count {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    const MOST: u64 = 1 << 53;

    pub fn serialize<S: Serializer>(count: &u64, to: S) -> Result<S::Ok, S::Error> {
        count.serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
        match u64::deserialize(from)? {
            count @ ..=MOST => Ok(count),
            _ => Err(D::Error::custom("a count is larger than any can be")),
        }
    }
}

/// `Vec<T>` as the bytes of its elements.
pub mod vector {
    use bytemuck::Pod;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use serde_bytes::Bytes;

    pub fn serialize<T: Pod, S: Serializer>(vector: &[T], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(bytemuck::cast_slice(vector))
    }

    pub fn deserialize<'de, T: Pod, D: Deserializer<'de>>(from: D) -> Result<Vec<T>, D::Error> {
        let bytes = <&Bytes>::deserialize(from)?;
        if bytes.len().is_multiple_of(size_of::<T>()) {
            Ok(bytemuck::allocation::pod_collect_to_vec(bytes))
        } else {
            Err(D::Error::custom("a vector ends within an element"))
        }
    }
}

/// `Vec<Vec<T>>`, each inner one as bytes.
pub mod vectors {
    use bytemuck::Pod;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Deserialize)]
    #[serde(bound = "T: Pod")]
    struct Owned<T>(#[serde(with = "super::vector")] Vec<T>);

    #[derive(Serialize)]
    #[serde(bound = "T: Pod")]
    struct Borrowed<'a, T>(#[serde(with = "super::vector")] &'a [T]);

    pub fn serialize<T: Pod, S: Serializer>(vectors: &[Vec<T>], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(vectors.iter().map(|vector| Borrowed(vector)))
    }

    pub fn deserialize<'de, T: Pod, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Vec<Vec<T>>, D::Error> {
        let vectors: Vec<Owned<T>> = Vec::deserialize(from)?;
        Ok(vectors.into_iter().map(|Owned(vector)| vector).collect())
    }
}

/// `Array1<T>` as bytes.
pub mod array {
    use bytemuck::Pod;
    use ndarray::Array1;
    use serde::{Deserializer, Serializer};

    pub fn serialize<T: Pod, S: Serializer>(array: &Array1<T>, to: S) -> Result<S::Ok, S::Error> {
        match array.as_slice() {
            Some(in_order) => super::vector::serialize(in_order, to),
            None => super::vector::serialize(&array.to_vec(), to),
        }
    }

    pub fn deserialize<'de, T: Pod, D: Deserializer<'de>>(from: D) -> Result<Array1<T>, D::Error> {
        super::vector::deserialize(from).map(Array1::from)
    }
}

/// `Array2<T>` with its shape and the order of its elements, which sums are rounded by.
pub mod matrix {
    use bytemuck::Pod;
    use ndarray::{Array2, ShapeBuilder};
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    #[derive(Serialize)]
    #[serde(bound = "T: Pod")]
    struct Borrowed<'a, T> {
        rows: usize,
        columns: usize,
        by_columns: bool,
        #[serde(with = "super::vector")]
        entries: &'a [T],
    }

    #[derive(Deserialize)]
    #[serde(bound = "T: Pod")]
    struct Saved<T> {
        rows: usize,
        columns: usize,
        by_columns: bool,
        #[serde(with = "super::vector")]
        entries: Vec<T>,
    }

    pub fn serialize<T: Pod, S: Serializer>(matrix: &Array2<T>, to: S) -> Result<S::Ok, S::Error> {
        let by_columns = !matrix.is_standard_layout() && matrix.t().is_standard_layout();
        let in_order = if by_columns { matrix.t() } else { matrix.view() };
        let (rows, columns) = matrix.dim();
        match in_order.as_slice() {
            Some(entries) => Borrowed { rows, columns, by_columns, entries }.serialize(to),
            None => {
                let entries: Vec<T> = in_order.iter().copied().collect();
                Borrowed { rows, columns, by_columns, entries: &entries }.serialize(to)
            }
        }
    }

    pub fn deserialize<'de, T: Pod, D: Deserializer<'de>>(from: D) -> Result<Array2<T>, D::Error> {
        let Saved { rows, columns, by_columns, entries } = Saved::deserialize(from)?;
        Array2::from_shape_vec((rows, columns).set_f(by_columns), entries).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array2, ShapeBuilder};

    #[derive(Debug, Deserialize, PartialEq, Serialize)]
    struct State {
        #[serde(with = "vector")]
        vector: Vec<f64>,
        #[serde(with = "vectors")]
        vectors: Vec<Vec<f32>>,
        #[serde(with = "matrix")]
        matrix: Array2<f64>,
        count: u64,
        number: f64,
    }

    fn label() -> Label {
        Label { solver: "Test".into(), dtype: "float64".into(), release: "1".into() }
    }

    fn state() -> State {
        State {
            vector: vec![1.5, -0.0, f64::INFINITY],
            vectors: vec![vec![1.0], vec![], vec![2.0, 3.0]],
            matrix: Array2::from_shape_vec((2, 3).f(), vec![1., 2., 3., 4., 5., 6.]).unwrap(),
            count: u64::MAX,
            number: 5e-324,
        }
    }

    fn saved() -> Vec<u8> {
        to_bytes(&label(), &state()).unwrap()
    }

    fn load(bytes: &[u8]) -> Result<State, Refusal> {
        Saved::open(bytes)?.state()
    }

    #[test]
    fn what_is_saved_is_loaded() {
        let bytes = saved();
        assert_eq!(Saved::open(&bytes).unwrap().label, label());
        let loaded = load(&bytes).unwrap();
        assert_eq!(loaded, state());
        assert_eq!(loaded.matrix.strides(), state().matrix.strides());
        assert!(loaded.vector[1].is_sign_negative());
    }

    #[test]
    fn every_truncation_and_every_changed_byte_is_refused() {
        let bytes = saved();
        for length in 0..bytes.len() {
            assert!(load(&bytes[..length]).is_err());
        }
        for position in 0..bytes.len() {
            for mask in [1, 0x80, 0xff] {
                let mut altered = bytes.clone();
                altered[position] ^= mask;
                assert!(load(&altered).is_err(), "byte {position}");
            }
        }
        assert!(load(&[bytes.clone(), vec![0]].concat()).is_err());
    }

    #[test]
    fn a_count_that_nothing_can_have_reached_is_refused() {
        #[derive(Debug, Deserialize, Serialize)]
        struct Counted(#[serde(with = "count")] u64);
        let load = |count| {
            let bytes = to_bytes(&label(), &Counted(count)).unwrap();
            Saved::open(&bytes).unwrap().state::<Counted>()
        };
        assert_eq!(load(1 << 53).unwrap().0, 1 << 53);
        assert!(load(u64::MAX).is_err());
    }

    #[test]
    fn refusals_say_why() {
        let refusal = |bytes: &[u8]| load(bytes).err();
        assert_eq!(refusal(b"PK\x03\x04 a zip file that is long enough"), Some(Refusal::NotSaved));
        assert_eq!(refusal(b""), Some(Refusal::NotSaved));
        let mut newer = saved();
        newer[8..12].copy_from_slice(&3u32.to_ne_bytes());
        assert_eq!(refusal(&newer), Some(Refusal::OtherVersion(3)));
        let mut foreign = saved();
        foreign[7] ^= b'<' ^ b'>';
        assert_eq!(refusal(&foreign), Some(Refusal::OtherByteOrder));
        let short = &saved()[..30];
        assert!(matches!(refusal(short), Some(Refusal::Truncated { found: 6, .. })));
        let other: Result<u64, _> = Saved::open(&saved()).unwrap().state();
        assert!(matches!(other, Err(Refusal::Inconsistent(_))));
    }
}
