//! Which of the processor's vector units the loops over vectors use: the widest, unless a test
//! asks for others by the environment variable `RAPHSON_VECTOR_UNITS`.

use std::sync::OnceLock;

use pulp::Arch;

/// Read once, when the module is imported. It is for tests: what a machine without the widest units
/// computes can be seen on one that has them.
const VARIABLE: &str = "RAPHSON_VECTOR_UNITS";

static CHOSEN: OnceLock<Arch> = OnceLock::new();

/// The units that loops are to be compiled for.
#[inline]
pub fn vector_units() -> Arch {
    #[cfg(test)]
    if let Some(units) = tests::limit() {
        return units;
    }
    *CHOSEN.get_or_init(|| from_environment().unwrap_or_default())
}

/// Takes the units that the environment names from now on, if it names any; an error says what is
/// wrong with the name.
pub fn read_environment() -> Result<(), String> {
    let units = from_environment()?;
    CHOSEN.get_or_init(|| units);
    Ok(())
}

fn from_environment() -> Result<Arch, String> {
    match std::env::var_os(VARIABLE) {
        None => Ok(Arch::new()),
        Some(name) => named(&name.to_string_lossy()),
    }
}

fn named(name: &str) -> Result<Arch, String> {
    let available = available();
    if let Some((_, units)) = available.iter().find(|(known, _)| *known == name) {
        return Ok(*units);
    }
    let names: Vec<_> = available.iter().map(|(known, _)| format!("'{known}'")).collect();
    Err(format!(
        "{VARIABLE}: '{name}' is unknown, or not to be had on this machine in this build; \
         it has {}",
        names.join(" and ")
    ))
}

/// The units that both this build and the processor have, from narrow to wide. 'scalar' is what
/// every processor of this architecture has.
fn available() -> Vec<(&'static str, Arch)> {
    let mut units = vec![("scalar", Arch::Scalar)];
    #[cfg(target_arch = "x86_64")]
    units.extend(pulp::x86::V3::try_new().map(|v3| ("avx2", Arch::V3(v3))));
    #[cfg(target_arch = "aarch64")]
    units.extend(pulp::aarch64::Neon::try_new().map(|neon| ("neon", Arch::Neon(neon))));
    units
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use std::sync::{Mutex, PoisonError, RwLock};

    static LIMIT: RwLock<Option<Arch>> = RwLock::new(None);

    pub fn limit() -> Option<Arch> {
        *LIMIT.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_limit(units: Option<Arch>) {
        *LIMIT.write().unwrap_or_else(PoisonError::into_inner) = units;
    }

    /// What a computation gives with each of the units, from narrow to wide.
    pub fn with_all_units<R>(compute: impl Fn() -> R) -> Vec<R> {
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let results = available()
            .into_iter()
            .map(|(_, units)| {
                set_limit(Some(units));
                compute()
            })
            .collect();
        set_limit(None);
        results
    }

    #[test]
    fn units_have_names() {
        assert!(matches!(named("scalar"), Ok(Arch::Scalar)));
        let (widest, _) = available().pop().unwrap();
        let same = |a: Arch, b: Arch| std::mem::discriminant(&a) == std::mem::discriminant(&b);
        assert!(same(named(widest).unwrap(), Arch::new()));
    }

    #[test]
    fn other_names_are_refused_with_those_there_are() {
        for name in ["", "AVX2", "mmx"] {
            let error = named(name).unwrap_err();
            assert!(error.contains("RAPHSON_VECTOR_UNITS") && error.contains("'scalar'"));
        }
    }

    #[test]
    fn the_environment_of_the_tests_names_none_or_known_units() {
        read_environment().unwrap();
    }
}
