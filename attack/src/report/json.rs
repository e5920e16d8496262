//! `report.json` holds each id as the text that people read.

use serde::{Serialize, Serializer};

use super::{CheckId, Defence, Knowledge, Metric, Population, Quantity, TargetRecords, Victim};
use crate::attacks::AttackId;

macro_rules! serialize_as_text {
    ($($id:ty),*) => {
        $(impl Serialize for $id {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        })*
    };
}

serialize_as_text!(
    AttackId,
    CheckId,
    Defence,
    Knowledge,
    Metric,
    Population,
    Quantity,
    TargetRecords,
    Victim
);
