//! Names that people choose and peers send: run ids and party names.

use std::fmt;

use crate::limits::MAX_NAME_BYTES;

/// Why a name is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{what} must be 1 to {MAX_NAME_BYTES} of the characters a-z, A-Z, 0-9, '-', '_' and '.', starting with a letter or digit"
)]
pub struct NameError {
    what: &'static str,
}

fn check(what: &'static str, text: &str) -> Result<(), NameError> {
    let fits = (1..=MAX_NAME_BYTES).contains(&text.len());
    let clean = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    let starts = text.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric);
    if fits && clean && starts { Ok(()) } else { Err(NameError { what }) }
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(String);

        impl $type {
            /// Checks and wraps a name.
            pub fn new(text: impl Into<String>) -> Result<Self, NameError> {
                let text = text.into();
                check($what, &text)?;
                Ok(Self(text))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.0)
            }
        }

        impl std::str::FromStr for $type {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> String {
                name.0
            }
        }
    };
}

name!(
    /// A party's name: unique in its run, shown in logs, safe as a file name.
    PartyName,
    "a party's name"
);
name!(
    /// A run's id, the same at the coordinator and at all its parties, safe as a file name.
    RunId,
    "a run id"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_as_file_names() {
        for good in ["bank", "a", "Telecom-2", "x.y_z"] {
            assert!(PartyName::new(good).is_ok(), "{good}");
        }
        for bad in ["", "..", "a/b", "-a", "a b", "é", &"x".repeat(65)] {
            assert!(PartyName::new(bad).is_err(), "{bad}");
        }
    }
}
