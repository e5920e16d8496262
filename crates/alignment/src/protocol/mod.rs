//! What holders send each other, and what each does with it.

pub(crate) mod compare;
pub(crate) mod holder;
pub(crate) mod message;
pub(crate) mod peer;
pub(crate) mod relay;
pub(crate) mod transfer;
