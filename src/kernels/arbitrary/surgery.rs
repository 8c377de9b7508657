//! Saved state, cut open and sewn together wrong, under a header that is right.

use proptest::prelude::*;
use proptest::sample::Index;
use rmpv::Value;

use super::number;
use crate::saved;

/// A way to tamper with saved state.
#[derive(Clone, Debug)]
pub enum Cut {
    /// Another byte.
    Byte {
        at: Index,
        with: u8,
    },
    /// Bytes of the donor in place of one's own.
    Splice {
        at: Index,
        from: Index,
        length: usize,
    },
    Truncate {
        at: Index,
    },
    /// The part of the donor that has the same place.
    Graft {
        at: Index,
    },
    /// Another part of the same state.
    Swap {
        at: Index,
        with: Index,
    },
    /// A number in the place of one.
    Number {
        at: Index,
        with: f64,
    },
    Count {
        at: Index,
        with: u64,
    },
    /// A vector or list that is longer, by repetition, or shorter.
    Resize {
        at: Index,
        length: usize,
    },
    Nothing {
        at: Index,
    },
}

pub fn cuts() -> impl Strategy<Value = Vec<Cut>> {
    let at = any::<Index>;
    let count = prop_oneof![
        0..20u64,
        Just(u64::from(u32::MAX)),
        Just(u64::MAX),
        Just(i64::MAX as u64),
        any::<u64>()
    ];
    let length = prop_oneof![8 => 0..20usize, 1 => Just(5000usize)];
    let cut = prop_oneof![
        1 => (at(), any::<u8>()).prop_map(|(at, with)| Cut::Byte { at, with }),
        1 => (at(), at(), 1..40usize).prop_map(|(at, from, length)| Cut::Splice { at, from, length }),
        1 => at().prop_map(|at| Cut::Truncate { at }),
        8 => at().prop_map(|at| Cut::Graft { at }),
        2 => (at(), at()).prop_map(|(at, with)| Cut::Swap { at, with }),
        5 => (at(), number()).prop_map(|(at, with)| Cut::Number { at, with }),
        5 => (at(), count).prop_map(|(at, with)| Cut::Count { at, with }),
        3 => (at(), length).prop_map(|(at, length)| Cut::Resize { at, length }),
        1 => at().prop_map(|at| Cut::Nothing { at }),
    ];
    prop::collection::vec(cut, 1..5)
}

/// A file that `Saved::open` has no reason to refuse, made from two that it accepts.
pub fn operate(state: &[u8], donor: &[u8], cuts: &[Cut]) -> Vec<u8> {
    let mut content = state[saved::HEADER..].to_vec();
    let donor = &donor[saved::HEADER..];
    for cut in cuts {
        cut_bytes(&mut content, donor, cut);
        if let (Some([label, mut own]), Some([_, other])) = (objects(&content), objects(donor)) {
            cut_tree(&mut own, &other, cut);
            content.clear();
            for object in [label, own] {
                rmpv::encode::write_value(&mut content, &object).unwrap();
            }
        }
    }
    let mut bytes = [&vec![0; saved::HEADER][..], &content].concat();
    saved::seal(&mut bytes);
    bytes
}

/// The label and the state.
fn objects(mut content: &[u8]) -> Option<[Value; 2]> {
    let mut next = || rmpv::decode::read_value(&mut content).ok();
    Some([next()?, next()?])
}

fn cut_bytes(bytes: &mut Vec<u8>, donor: &[u8], cut: &Cut) {
    if bytes.is_empty() {
        return;
    }
    match cut {
        Cut::Byte { at, with } => {
            let at = at.index(bytes.len());
            bytes[at] = *with;
        }
        Cut::Splice { at, from, length } => {
            let (at, from) = (at.index(bytes.len()), from.index(donor.len()));
            let (end, to) = ((at + length).min(bytes.len()), (from + length).min(donor.len()));
            bytes.splice(at..end, donor[from..to].iter().copied());
        }
        Cut::Truncate { at } => bytes.truncate(at.index(bytes.len())),
        _ => {}
    }
}

fn cut_tree(own: &mut Value, donor: &Value, cut: &Cut) {
    match *cut {
        Cut::Graft { at } => {
            let path = any_path(own, at, |_| true);
            let part = part(donor, &path).cloned();
            if let (Some(place), Some(part)) = (part_mut(own, &path), part) {
                *place = part;
            }
        }
        Cut::Swap { at, with } => {
            let path = any_path(own, with, |_| true);
            let part = part(own, &path).cloned().unwrap_or(Value::Nil);
            replace(own, at, |_| true, |_| part.clone());
        }
        Cut::Number { at, with } => {
            replace(own, at, |value| value.is_f64() || value.is_f32(), |_| with.into());
        }
        Cut::Count { at, with } => {
            replace(
                own,
                at,
                |value| value.is_number() || value.is_bool(),
                |old| match old {
                    Value::Boolean(flag) => (!flag).into(),
                    _ => with.into(),
                },
            );
        }
        Cut::Resize { at, length } => {
            replace(
                own,
                at,
                |value| value.is_bin() || value.is_array(),
                |old| match old {
                    Value::Binary(bytes) => Value::Binary(resized(bytes, 8 * length)),
                    Value::Array(parts) => Value::Array(resized(parts, length)),
                    other => other.clone(),
                },
            );
        }
        Cut::Nothing { at } => replace(own, at, |_| true, |_| Value::Nil),
        Cut::Byte { .. } | Cut::Splice { .. } | Cut::Truncate { .. } => {}
    }
}

fn resized<T: Clone>(parts: &[T], length: usize) -> Vec<T> {
    parts.iter().cycle().take(length).cloned().collect()
}

/// Replaces one of the parts of a kind.
fn replace(
    tree: &mut Value,
    at: Index,
    kind: impl Fn(&Value) -> bool,
    by: impl Fn(&Value) -> Value,
) {
    let path = any_path(tree, at, kind);
    if let Some(place) = part_mut(tree, &path) {
        *place = by(place);
    }
}

/// The way to one of the parts of a kind; to the root where there is none.
fn any_path(tree: &Value, at: Index, kind: impl Fn(&Value) -> bool) -> Vec<usize> {
    let mut paths = Vec::new();
    let mut open = vec![Vec::new()];
    while let Some(path) = open.pop() {
        let Some(value) = part(tree, &path) else { continue };
        let parts = match value {
            Value::Array(parts) => parts.len(),
            Value::Map(entries) => entries.len(),
            _ => 0,
        };
        open.extend((0..parts).map(|i| [&path[..], &[i]].concat()));
        if kind(value) {
            paths.push(path);
        }
    }
    if paths.is_empty() { Vec::new() } else { paths.swap_remove(at.index(paths.len())) }
}

fn part<'a>(tree: &'a Value, path: &[usize]) -> Option<&'a Value> {
    path.iter().try_fold(tree, |value, &i| match value {
        Value::Array(parts) => parts.get(i),
        Value::Map(entries) => entries.get(i).map(|(_, value)| value),
        _ => None,
    })
}

fn part_mut<'a>(tree: &'a mut Value, path: &[usize]) -> Option<&'a mut Value> {
    path.iter().try_fold(tree, |value, &i| match value {
        Value::Array(parts) => parts.get_mut(i),
        Value::Map(entries) => entries.get_mut(i).map(|(_, value)| value),
        _ => None,
    })
}
