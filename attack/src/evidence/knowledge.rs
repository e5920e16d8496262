//! What an adversary knows of a record beside auxiliary records, and how that becomes a regression's input.

use anyhow::Context;
use hashvfl_core::CodeForm;
use hashvfl_data::Matrix;
use hashvfl_learning::top::loss::Labels;

use crate::evidence::observed::{Observed, ObservedAt};
use crate::report::Knowledge;

/// Epochs of a run, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct EpochRange {
    /// The first of them, from 0.
    pub from: u32,
    /// How many they are.
    pub count: u32,
}

impl EpochRange {
    /// So many of the run's first ones.
    pub fn first(count: u32) -> Self {
        Self { from: 0, count }
    }

    fn moments(self) -> impl Iterator<Item = ObservedAt> {
        (self.from..self.from + self.count).map(ObservedAt::Epoch)
    }
}

/// One thing that is known of every record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fact {
    /// The victim's last code: by its frozen encoder, or where there is none that of the last epoch.
    Code,
    /// The last codes of the other parties.
    OtherCodes,
    /// The victim's codes in these epochs.
    EpochCodes(EpochRange),
    /// The other parties' codes in these epochs.
    OtherEpochCodes(EpochRange),
    /// The label.
    Label,
    /// The columns of the coordinator's own organisation.
    OwnColumns,
}

impl Fact {
    /// As a report says it; nothing for a code, whose releases it counts, and nothing more for earlier codes of other parties.
    fn knowledge(self) -> Option<Knowledge> {
        match self {
            Self::Code | Self::EpochCodes(_) | Self::OtherEpochCodes(_) => None,
            Self::OtherCodes => Some(Knowledge::OtherCodes),
            Self::Label => Some(Knowledge::Labels),
            Self::OwnColumns => Some(Knowledge::OwnColumns),
        }
    }

    /// Whether it is bits of codes, whose values are to stand beside them.
    fn has_bits(self) -> bool {
        matches!(self, Self::Code | Self::OtherCodes | Self::EpochCodes(_))
    }
}

/// What is known beside codes, in order.
pub fn known(facts: &[Fact]) -> Vec<Knowledge> {
    facts.iter().filter_map(|fact| fact.knowledge()).collect()
}

/// Where facts come from.
pub struct Sources<'a> {
    /// What was seen.
    pub observed: &'a Observed,
    /// The party whose records are attacked.
    pub victim: usize,
    /// The labels.
    pub labels: &'a Labels,
    /// The columns of the coordinator's own organisation.
    pub own: Option<&'a Matrix>,
    /// The parties beside the victim.
    pub others: Vec<usize>,
}

/// Known values of records, row by row.
pub struct Features {
    /// Values per record.
    pub width: usize,
    /// [records, width].
    pub values: Vec<f32>,
    /// Whether every value is one of a few, so that equal rows can be counted.
    pub discrete: bool,
}

impl Sources<'_> {
    /// What `facts` say of `records`.
    ///
    /// # Errors
    /// If the transcript or the manifest does not hold what a fact needs; the error says what is missing.
    pub fn features(&self, facts: &[Fact], records: &[u32]) -> anyhow::Result<Features> {
        let blocks = facts.iter().map(|fact| self.blocks(*fact, records));
        let blocks: Vec<Vec<f32>> =
            blocks.collect::<anyhow::Result<Vec<_>>>()?.into_iter().flatten().collect();
        let (width, values) = side_by_side(&blocks, records.len());
        let discrete = values.iter().all(|value| value.abs() == 1.0 || *value == 0.0);
        Ok(Features { width, values, discrete })
    }

    /// Whether everything in `facts` is known of a record.
    pub fn knows(&self, facts: &[Fact], record: u32) -> bool {
        facts.iter().all(|fact| match fact {
            Fact::Code => self.observed.last_seen(self.victim, record).is_some(),
            Fact::OtherCodes => {
                self.others.iter().all(|party| self.observed.last_seen(*party, record).is_some())
            }
            Fact::EpochCodes(epochs) => {
                epochs.moments().all(|moment| self.observed.saw(self.victim, moment, record))
            }
            Fact::OtherEpochCodes(epochs) => self
                .others
                .iter()
                .all(|party| epochs.moments().all(|moment| self.observed.saw(*party, moment, record))),
            Fact::Label | Fact::OwnColumns => true,
        })
    }

    /// The same for a regression, with the values of levels beside their bits: to read them out of a Gray code would be
    /// left to it else.
    ///
    /// # Errors
    /// As [`features`](Self::features).
    pub fn inputs(&self, facts: &[Fact], records: &[u32]) -> anyhow::Result<Features> {
        let Features { width, values, discrete } = self.features(facts, records)?;
        if self.observed.forms.iter().all(|form| form.is_signs()) {
            return Ok(Features { width, values, discrete });
        }
        let mut blocks = vec![values];
        for fact in facts.iter().filter(|fact| fact.has_bits()) {
            let codes = self.blocks(*fact, records)?;
            let forms = self.forms(*fact, codes.len()).into_iter().zip(&codes);
            let levels = forms.filter(|(form, _)| !form.is_signs());
            blocks.extend(levels.map(|(form, block)| form.decode(block).into_owned()));
        }
        let (width, values) = side_by_side(&blocks, records.len());
        Ok(Features { width, values, discrete })
    }

    /// What the codes of each of a fact's `blocks` are made of.
    fn forms(&self, fact: Fact, blocks: usize) -> Vec<CodeForm> {
        match fact {
            Fact::OtherCodes => self.others.iter().map(|party| self.observed.forms[*party]).collect(),
            _ => vec![self.observed.forms[self.victim]; blocks],
        }
    }

    /// What one fact says of `records`: one block [records, values], or several side by side.
    fn blocks(&self, fact: Fact, records: &[u32]) -> anyhow::Result<Vec<Vec<f32>>> {
        match fact {
            Fact::Code => Ok(vec![self.observed.gather_last(self.victim, records)?]),
            Fact::OtherCodes => {
                self.others.iter().map(|party| self.observed.gather_last(*party, records)).collect()
            }
            Fact::EpochCodes(epochs) => {
                epochs.moments().map(|moment| self.observed.gather(self.victim, moment, records)).collect()
            }
            Fact::OtherEpochCodes(epochs) => {
                let mut blocks = Vec::new();
                for party in &self.others {
                    for moment in epochs.moments() {
                        let bits = self.observed.gather(*party, moment, records)?;
                        // Values alone: bits as well would be many times as many inputs.
                        blocks.push(self.observed.forms[*party].decode(&bits).into_owned());
                    }
                }
                Ok(blocks)
            }
            Fact::Label => Ok(vec![label_values(self.labels, records)]),
            Fact::OwnColumns => {
                let own = self.own.context(
                    "the attack knows the columns of the coordinator's own organisation, but the config names no such party: set `own`",
                )?;
                Ok(vec![own.gather(records)])
            }
        }
    }
}

/// Labels of `records`: classes one-hot [records, classes], or numbers as they are [records, 1].
pub fn label_values(labels: &Labels, records: &[u32]) -> Vec<f32> {
    match labels {
        Labels::Classes { count, index } => {
            let one_hot = |record: &u32| {
                let class = index[*record as usize] as usize;
                (0..*count).map(move |other| f32::from(u8::from(other == class)))
            };
            records.iter().flat_map(one_hot).collect()
        }
        Labels::Real(values) => records.iter().map(|record| values[*record as usize]).collect(),
    }
}

/// Blocks [rows, values] side by side, row by row, and how many values a row has.
pub fn side_by_side(blocks: &[Vec<f32>], rows: usize) -> (usize, Vec<f32>) {
    let count = rows.max(1);
    let width = blocks.iter().map(|block| block.len() / count).sum();
    let mut values = Vec::with_capacity(count * width);
    for row in 0..rows {
        for block in blocks {
            let each = block.len() / count;
            values.extend_from_slice(&block[row * each..(row + 1) * each]);
        }
    }
    (width, values)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of three parties, the first of which is attacked: what the others sent in two epochs, party by party.
    #[test]
    fn all_epochs_of_the_other_parties_are_known() {
        let mut observed = Observed::none(vec![CodeForm::signs(2); 3]);
        for party in 0..3 {
            for epoch in 0..2 {
                let sign = if (party + epoch as usize).is_multiple_of(2) { 1.0 } else { -1.0 };
                // The last record was not there in the second epoch.
                let records: Vec<u32> = (0..3 - epoch).collect();
                let values = [sign, 1.0].repeat(records.len());
                observed = observed.with(party, ObservedAt::Epoch(epoch), &records, &values);
            }
        }
        let labels = Labels::Real(vec![0.0; 3]);
        let sources =
            Sources { observed: &observed, victim: 0, labels: &labels, own: None, others: vec![1, 2] };
        let facts = [Fact::OtherEpochCodes(EpochRange::first(2))];
        let features = sources.inputs(&facts, &[0, 1]).unwrap();
        assert_eq!(features.width, 8);
        assert_eq!(features.values, [-1.0, 1.0, 1.0, 1.0, 1.0, 1.0, -1.0, 1.0].repeat(2));
        assert!(sources.knows(&facts, 1) && !sources.knows(&facts, 2));
        let second = [Fact::EpochCodes(EpochRange { from: 1, count: 1 })];
        assert_eq!(sources.features(&second, &[0, 1]).unwrap().values, [-1.0, 1.0, -1.0, 1.0]);
        assert!(sources.knows(&second, 1) && !sources.knows(&second, 2));
        assert!(known(&facts).is_empty(), "a report says of it that other parties' codes are known");
    }
}
