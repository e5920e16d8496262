//! What the coordinator's binary does besides training and serving, a file for each subcommand.

pub(crate) mod align;
pub(crate) mod cancel;
pub(crate) mod check;
pub(crate) mod doctor;
pub(crate) mod erase;
pub(crate) mod evaluate;
pub(crate) mod export;
pub(crate) mod init;
pub(crate) mod predict;
pub(crate) mod train;
