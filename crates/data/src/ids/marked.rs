//! Records of a table that is served: one without an id of its own stops none of the others.

use std::collections::HashSet;

use tracing::warn;

use crate::encoding::treatment::Faulty;
use crate::error::TableError;
use crate::ids::id_source::IdSource;

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

    /// Says once what was found, in numbers alone.
    pub(crate) fn tell(&self) {
        tell(self.without, self.repeats, self.repeated.len() as u64);
    }
}

/// Says how many records have no id, and how many share so many `ids`.
pub(crate) fn tell(without: u64, repeats: u64, ids: u64) {
    if without > 0 {
        warn!("{without} records have no id and are left out: nobody can ask for them");
    }
    if repeats > 0 {
        warn!(
            "{repeats} records share {ids} ids, expected every id once: these ids are refused; keep one record of each"
        );
    }
}
