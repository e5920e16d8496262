//! Attacks that infer one fact: a column's value, a label, a record's part in training.

pub(crate) mod attributes;
pub(crate) mod label_defences;
pub(crate) mod labels;
pub(crate) mod membership;
