//! Records of a served table: a record without a unique id does not stop the others.

use std::collections::HashSet;

use hashvfl_core::text::counted;

use crate::encoding::treatment::Faulty;
use crate::error::TableError;
use crate::ids::id_source::IdSource;
use crate::table::sink::RowSink;

/// What becomes of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is read.
    Taken,
    /// It cannot be used: another one has its id, and nobody knows which of them is meant.
    Marked,
    /// It is skipped: it has no id, or a record of its id is marked already.
    Skipped,
}

/// Ids of a table whose records are marked where they cannot be used.
pub(crate) struct MarkedIds {
    /// Those that come more than once.
    repeated: HashSet<String>,
    /// Those of them that have come already.
    come: HashSet<String>,
    without: u64,
    repeats: u64,
}

impl MarkedIds {
    /// Reads all ids of `source` beforehand, where faults are marked; else there is nothing to know.
    pub(crate) fn of(source: &dyn IdSource, faulty: Faulty) -> Result<Option<Self>, TableError> {
        if faulty == Faulty::Refuse {
            return Ok(None);
        }
        let (mut seen, mut repeated) = (HashSet::new(), HashSet::new());
        source.read(&mut |id| {
            if let Some(id) = id.ok().filter(|id| !seen.insert((*id).to_owned())) {
                repeated.insert(id.to_owned());
            }
            Ok(())
        })?;
        Ok(Some(Self { repeated, come: HashSet::new(), without: 0, repeats: 0 }))
    }

    /// What becomes of the next record.
    pub(crate) fn standing(&mut self, id: Option<&str>) -> Standing {
        let Some(id) = id else {
            self.without += 1;
            return Standing::Skipped;
        };
        if !self.repeated.contains(id) {
            return Standing::Taken;
        }
        self.repeats += 1;
        if self.come.insert(id.to_owned()) { Standing::Marked } else { Standing::Skipped }
    }

    /// Says once what was found, in numbers only.
    pub(crate) fn tell(&self, sink: &mut dyn RowSink) {
        tell(self.without, self.repeats, self.repeated.len() as u64, sink);
    }
}

/// Says how many records have no id, and how many share so many `ids`.
pub(crate) fn tell(without: u64, repeats: u64, ids: u64, sink: &mut dyn RowSink) {
    if without > 0 {
        sink.tell(format!("{} without an id cannot be served", counted(without, "record")));
    }
    if repeats > 0 {
        sink.tell(format!(
            "{} share {}: requests for such ids are refused; keep one record per id",
            counted(repeats, "record"),
            counted(ids, "id")
        ));
    }
}
