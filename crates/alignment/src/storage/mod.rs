//! What an alignment keeps on disk.

pub(crate) mod files;
pub(crate) mod first_files;
pub(crate) mod folder;
pub(crate) mod ids;
pub(crate) mod pins;
pub(crate) mod sort;
pub(crate) mod spool;
