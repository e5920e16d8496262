//! What lies on disk is compared to its digests before an alignment goes on: a bit that has changed is found at once, and not
//! after hours of work.

use super::Holder;
use crate::curve::POINT_BYTES;
use crate::error::AlignmentError;
use crate::order::PLACE_BYTES;
use crate::protocol::compare::TAG_BYTES;
use crate::protocol::relay::Relay;
use crate::storage::files::Items;
use crate::storage::ids::Ids;
use crate::storage::spool::RECORD_BYTES;

impl<R: Relay> Holder<'_, R> {
    /// Reads all files of the folder but journals, which are compared as they are resumed.
    ///
    /// # Errors
    /// If one is not what was written.
    pub(super) fn find_rot(&self) -> Result<(), AlignmentError> {
        let folder = self.folder;
        Items::open(&folder.file("records"), RECORD_BYTES)?.check()?;
        Ids::open(&folder.file("ids"))?;
        folder.fingerprint()?;
        for set in 0..self.map.holders {
            // Of what sorting makes, `sorted` gets its name last: without it the set is sorted once more.
            let is_sorted = folder.of("sorted", set).exists();
            let has_tags = is_sorted && self.map.last(set) == self.me;
            let files = [
                ("sorted", POINT_BYTES, is_sorted),
                ("places", PLACE_BYTES, is_sorted),
                ("tags", TAG_BYTES, has_tags),
                ("verdict", 1, true),
                ("placed", 1, true),
            ];
            for (what, item_bytes, counts) in files {
                let path = folder.of(what, set);
                if counts && path.exists() {
                    Items::open(&path, item_bytes)?.check()?;
                }
            }
        }
        Ok(())
    }
}
