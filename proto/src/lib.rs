//! The wire: package `hashvfl.v1`, its generated code, and the only way from bytes to core's types and back. How messages
//! travel is for `hashvfl-transport`.
//!
//! `src/generated` is checked in, so that no build needs protoc; `tests/generated.rs` writes it anew (with
//! `REGENERATE=1`) and fails when it differs. A message of training, serving by parties, or alignment leaves this crate
//! as a type of `core` or of [`alignment`].

pub mod codec;
mod convert;

/// Generated from the files in `proto/hashvfl/v1`.
#[allow(missing_docs, clippy::all, clippy::pedantic)]
#[rustfmt::skip]
pub mod v1 {
    include!("generated/hashvfl.v1.rs");
}

pub use convert::{WireError, WireMessage, alignment};
