//! The wire: package `hashvfl.v1`, its generated code, and the only way from bytes to core's types and back.
//!
//! `src/generated` is checked in, so that no build needs protoc; `tests/generated.rs` writes it anew (with
//! `REGENERATE=1`) and fails when it differs. Outside this crate nobody sees a generated message's field.

pub mod alignment;
mod convert;
mod convert_inference;
pub mod driver;
pub mod status;
pub mod stop;

/// Generated from the files in `proto/hashvfl/v1`.
#[allow(missing_docs, clippy::all, clippy::pedantic)]
#[rustfmt::skip]
pub mod v1 {
    include!("generated/hashvfl.v1.rs");
}

pub use convert::WireError;
