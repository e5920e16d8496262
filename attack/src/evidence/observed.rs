//! What the adversary saw of each record: a transcript, put in order by party, moment and record.

use std::collections::BTreeMap;

use anyhow::{Context, bail, ensure};
use hashvfl_core::{CodeForm, Part};
use hashvfl_transcript::{RecordedKind, Recording, Step, ValueEncoding};

/// When a record was encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ObservedAt {
    /// In training, in this epoch from 0.
    Epoch(u32),
    /// The gradient that answered in this epoch, from 0.
    Gradient(u32),
    /// After the encoder was frozen.
    Frozen,
}

/// Values of the records of one party at one moment.
#[derive(Clone, Default)]
struct Sheet {
    place: BTreeMap<u32, usize>,
    values: Vec<f32>,
}

/// Everything that was seen.
#[derive(Clone)]
pub struct Observed {
    /// The parties, in the order of their codes.
    pub parties: Vec<String>,
    /// What each party's codes are made of; of floats, one for each sign.
    pub forms: Vec<CodeForm>,
    sheets: BTreeMap<(usize, ObservedAt), Sheet>,
}

impl Observed {
    /// Puts the codes (or simulated floats) of a recording in order. Codes of validation records while the model learned are
    /// those of the epoch before.
    pub fn new(recording: &Recording) -> anyhow::Result<Self> {
        let parties: Vec<String> = recording.header.parties.iter().map(ToString::to_string).collect();
        let forms = recording.header.parties.iter().map(|party| recording.header.form_of(party)).collect();
        let mut observed = Self { parties, forms, sheets: BTreeMap::new() };
        let mut last = 0;
        for step in &recording.steps {
            let moment = match step.kind {
                RecordedKind::Batch { epoch } => {
                    last = epoch;
                    ObservedAt::Epoch(epoch)
                }
                RecordedKind::Gradient { epoch } => ObservedAt::Gradient(epoch),
                RecordedKind::Part(Part::CohortValidation) => ObservedAt::Epoch(last),
                RecordedKind::Part(_) => ObservedAt::Frozen,
            };
            observed.add(step, moment).with_context(|| format!("step {} of the transcript", step.step))?;
        }
        Ok(observed)
    }

    /// Nothing yet, of parties whose codes are of these `forms`.
    #[cfg(test)]
    pub fn none(forms: Vec<CodeForm>) -> Self {
        let parties = (0..forms.len()).map(|party| format!("party-{party}")).collect();
        Self { parties, forms, sheets: BTreeMap::new() }
    }

    fn add(&mut self, step: &Step, moment: ObservedAt) -> anyhow::Result<()> {
        for (party, bytes) in &step.values {
            let index = self.parties.iter().position(|name| name == party);
            let index = index
                .with_context(|| format!("{party} is not among the parties in the transcript's header"))?;
            let width = self.width_at(index, moment);
            let values = decode(step.encoding, bytes, step.records.len(), width)?;
            let sheet = self.sheets.entry((index, moment)).or_default();
            for (record, row) in step.records.iter().zip(values.chunks_exact(width)) {
                sheet.place.insert(*record, sheet.values.len() / width);
                sheet.values.extend_from_slice(row);
            }
        }
        Ok(())
    }

    /// Values per record of a party at a moment: a gradient has one for each latent.
    pub fn width_at(&self, party: usize, moment: ObservedAt) -> usize {
        match moment {
            ObservedAt::Gradient(_) => self.forms[party].latents(),
            ObservedAt::Epoch(_) | ObservedAt::Frozen => self.width(party),
        }
    }

    /// Values of a party's code.
    pub fn width(&self, party: usize) -> usize {
        self.forms[party].bits()
    }

    /// Epochs in which records were seen.
    pub fn epochs(&self) -> u32 {
        let epoch = |(_, moment): &(usize, ObservedAt)| match moment {
            ObservedAt::Epoch(epoch) => Some(epoch + 1),
            ObservedAt::Gradient(_) | ObservedAt::Frozen => None,
        };
        self.sheets.keys().filter_map(epoch).max().unwrap_or(0)
    }

    /// Whether a record of a party was seen at a moment.
    pub fn saw(&self, party: usize, moment: ObservedAt, record: u32) -> bool {
        self.sheets.get(&(party, moment)).is_some_and(|sheet| sheet.place.contains_key(&record))
    }

    /// When the last code of a record of a party was seen: after the freeze, or in the last epoch.
    pub fn last_seen(&self, party: usize, record: u32) -> Option<ObservedAt> {
        self.last_first(party).find(|(_, sheet)| sheet.place.contains_key(&record)).map(|(moment, _)| moment)
    }

    /// What was seen of a party at each moment but gradients, the last one first.
    fn last_first(&self, party: usize) -> impl Iterator<Item = (ObservedAt, &Sheet)> {
        let moments = (party, ObservedAt::Epoch(0))..=(party, ObservedAt::Frozen);
        let sheets = self.sheets.range(moments).rev().map(|((_, moment), sheet)| (*moment, sheet));
        sheets.filter(|(moment, _)| !matches!(moment, ObservedAt::Gradient(_)))
    }

    /// The last code of each of `records`: [records, width].
    ///
    /// # Errors
    /// If one was never seen.
    pub fn gather_last(&self, party: usize, records: &[u32]) -> anyhow::Result<Vec<f32>> {
        let width = self.width(party);
        let sheets: Vec<&Sheet> = self.last_first(party).map(|(_, sheet)| sheet).collect();
        let mut values = Vec::with_capacity(records.len() * width);
        for record in records {
            let row = sheets.iter().find_map(|sheet| sheet.place.get(record).map(|place| (sheet, place)));
            let (sheet, place) = row.with_context(|| {
                format!("the transcript holds no code of a record of {}", self.parties[party])
            })?;
            values.extend_from_slice(&sheet.values[place * width..][..width]);
        }
        Ok(values)
    }

    /// Values [records, width] of a party at a moment.
    ///
    /// # Errors
    /// If some of the records were not seen then; the error says how many.
    pub fn gather(&self, party: usize, moment: ObservedAt, records: &[u32]) -> anyhow::Result<Vec<f32>> {
        let name = self.parties.get(party).context("no such party")?;
        let Some(sheet) = self.sheets.get(&(party, moment)) else {
            bail!("the transcript holds nothing of {name} at {moment:?}: was the run recorded to the end?");
        };
        let missing = records.iter().filter(|record| !sheet.place.contains_key(record)).count();
        ensure!(
            missing == 0,
            "the transcript lacks {missing} of {} records of {name} at {moment:?}",
            records.len()
        );
        let width = self.width_at(party, moment);
        let row = |record: &u32| {
            let start = sheet.place[record] * width;
            sheet.values[start..start + width].iter().copied()
        };
        Ok(records.iter().flat_map(row).collect())
    }

    /// Values [records, width] of every party at a moment, in the order of the parties.
    ///
    /// # Errors
    /// As [`gather`](Self::gather).
    pub fn gather_all(&self, moment: ObservedAt, records: &[u32]) -> anyhow::Result<Vec<Vec<f32>>> {
        (0..self.parties.len()).map(|party| self.gather(party, moment, records)).collect()
    }

    /// The same with `values` [records, width] of more records of a party at a moment.
    pub fn with(&self, party: usize, moment: ObservedAt, records: &[u32], values: &[f32]) -> Self {
        let mut more = self.clone();
        let sheet = more.sheets.entry((party, moment)).or_default();
        let width = self.width(party);
        for (record, row) in records.iter().zip(values.chunks_exact(width)) {
            sheet.place.insert(*record, sheet.values.len() / width);
            sheet.values.extend_from_slice(row);
        }
        more
    }

    /// The same floats at one bit each: +1 at or above the median over `records` of that party and moment.
    pub fn quantised(&self, records: &[u32]) -> Self {
        let mut quantised = self.clone();
        for ((party, moment), sheet) in &mut quantised.sheets {
            let width = self.width_at(*party, *moment);
            let known: Vec<usize> =
                records.iter().filter_map(|record| sheet.place.get(record).copied()).collect();
            for column in 0..width {
                let value = |row: &usize| sheet.values[row * width + column];
                let mut seen: Vec<f32> = known.iter().map(value).collect();
                seen.sort_unstable_by(f32::total_cmp);
                let median = seen.get(seen.len() / 2).copied().unwrap_or(0.0);
                let cells = sheet.values.iter_mut().skip(column).step_by(width);
                cells.for_each(|cell| *cell = if *cell >= median { 1.0 } else { -1.0 });
            }
        }
        quantised
    }

    /// The same with the values of `records` shuffled among them, for all parties and moments alike: a
    /// check, since an attack on it must fall to what it knows without codes.
    pub fn shuffled(&self, records: &[u32], order: &[u32]) -> Self {
        let mut shuffled = self.clone();
        for (key, sheet) in &mut shuffled.sheets {
            let old = &self.sheets[key].place;
            for (record, other) in records.iter().zip(order) {
                if let (Some(place), true) = (old.get(other), old.contains_key(record)) {
                    sheet.place.insert(*record, *place);
                }
            }
        }
        shuffled
    }
}

fn decode(encoding: ValueEncoding, bytes: &[u8], records: usize, width: usize) -> anyhow::Result<Vec<f32>> {
    let each = match encoding {
        ValueEncoding::Bits => width.div_ceil(8),
        ValueEncoding::F32 => width * 4,
    };
    ensure!(bytes.len() == records * each, "values of another length than the header says");
    let sign = |byte: u8, bit: usize| if byte >> bit & 1 == 1 { 1.0 } else { -1.0 };
    Ok(match encoding {
        ValueEncoding::Bits => bytes
            .chunks_exact(each)
            .flat_map(|code| (0..width).map(move |bit| sign(code[bit / 8], bit % 8)))
            .collect(),
        ValueEncoding::F32 => {
            bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
        }
    })
}
