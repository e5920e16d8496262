//! What a ledger tells its holder.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io::{self, Write};

use crate::account::Account;
use crate::epsilon::Epsilon;
use crate::flow::{Flow, Volume};
use crate::key::RecordKey;
use crate::policy::Policy;
use crate::store::{Store, StoreError};

/// Most lines of the histogram.
const BINS: u64 = 10;

/// What the numbers of a ledger mean.
pub const MEANING: &str = include_str!("meaning.txt");

/// Totals over all records of a ledger, beside what a policy allows.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    records: usize,
    bits: BTreeMap<u64, usize>,
    encodings: BTreeMap<u32, usize>,
    without_noise: usize,
    largest_epsilon: Epsilon,
    flows: BTreeMap<Flow, Volume>,
    policy: Policy,
}

impl Report {
    /// Sums up `store`.
    pub fn of(store: &impl Store, policy: &Policy) -> Result<Self, StoreError> {
        let mut report = Self {
            records: 0,
            bits: BTreeMap::new(),
            encodings: BTreeMap::new(),
            without_noise: 0,
            largest_epsilon: Epsilon::default(),
            flows: store.flows()?,
            policy: policy.clone(),
        };
        store.scan(&mut |_, account| {
            report.records += 1;
            *report.bits.entry(account.bits).or_default() += 1;
            *report.encodings.entry(account.encodings).or_default() += 1;
            match account.total_epsilon() {
                Some(epsilon) => report.largest_epsilon = report.largest_epsilon.max(epsilon),
                None => report.without_noise += 1,
            }
        })?;
        Ok(report)
    }

    /// Least, median and largest of values with how often each occurs.
    fn spread<T: Copy + Default + Ord>(&self, counts: &BTreeMap<T, usize>) -> [T; 3] {
        let mut before = 0;
        let median = counts.iter().find(|(_, count)| {
            before += **count;
            2 * before >= self.records
        });
        let of = |entry: Option<(&T, &usize)>| entry.map_or(T::default(), |(value, _)| *value);
        [of(counts.first_key_value()), of(median), of(counts.last_key_value())]
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let allowed = |limit: Option<String>| limit.unwrap_or_else(|| "any".to_string());
        let policy = &self.policy;
        writeln!(f, "{} records      least     median       most    allowed", self.records)?;
        let [least, median, most] = self.spread(&self.bits);
        let limit = allowed(policy.bits_per_record.map(|n| n.to_string()));
        writeln!(f, "  bits      {least:>10} {median:>10} {most:>10} {limit:>10}")?;
        let [least, median, most] = self.spread(&self.encodings);
        let limit = allowed(policy.encodings_per_record.map(|n| n.to_string()));
        writeln!(f, "  encodings {least:>10} {median:>10} {most:>10} {limit:>10}")?;
        let limit = allowed(policy.epsilon_per_record.map(|n| n.to_string()));
        writeln!(
            f,
            "  epsilon   no finite one for {} records (sent without noise); at most {} for others; allowed {limit}",
            self.without_noise, self.largest_epsilon
        )?;
        let highest = self.bits.last_key_value().map_or(0, |(bits, _)| *bits);
        let width = if self.bits.len() as u64 <= BINS { 1 } else { highest / BINS + 1 };
        let mut bins = BTreeMap::<u64, usize>::new();
        self.bits.iter().for_each(|(bits, count)| *bins.entry(bits / width).or_default() += count);
        for (bin, count) in bins {
            let (from, to) = (bin * width, bin * width + width - 1);
            let range = if width == 1 { from.to_string() } else { format!("{from} to {to}") };
            writeln!(f, "  {count:>10} records released {range} bits")?;
        }
        for (flow, Volume { items, bits }) in &self.flows {
            writeln!(f, "  {flow}: {items} of {bits} bits in all")?;
        }
        Ok(())
    }
}

/// One record's account in words, beside what a policy allows.
pub fn explain_account(account: &Account, policy: &Policy) -> String {
    let of = |limit: Option<String>| limit.map_or(String::new(), |limit| format!(" of {limit} allowed"));
    let epsilon = match account.total_epsilon() {
        Some(epsilon) => epsilon.to_string(),
        None => format!("no finite one, since {} left without noise", account.without_noise),
    };
    format!(
        "this record released {} bits{} in {} encodings{}; epsilon: {epsilon}{}",
        account.bits,
        of(policy.bits_per_record.map(|n| n.to_string())),
        account.encodings,
        of(policy.encodings_per_record.map(|n| n.to_string())),
        of(policy.epsilon_per_record.map(|n| n.to_string())),
    )
}

/// Writes every account as a line of CSV; with the ids of a table, for its records alone and by id.
pub fn export(store: &impl Store, ids: Option<&[String]>, out: &mut impl Write) -> io::Result<()> {
    let name = if ids.is_some() { "id" } else { "record" };
    writeln!(out, "{name},bits,encodings,without_noise,epsilon_with_noise")?;
    let salt = store.salt();
    let of_key: Option<HashMap<RecordKey, &String>> =
        ids.map(|ids| ids.iter().map(|id| (RecordKey::of(&salt, id), id)).collect());
    let mut written = Ok(());
    let scanned = store.scan(&mut |key, account| {
        let name = match &of_key {
            Some(of_key) => of_key.get(&key).map(|id| quoted(id)),
            None => Some(key.to_hex()),
        };
        if let (Some(name), Ok(())) = (name, &written) {
            let Account { bits, encodings, without_noise, epsilon, .. } = account;
            written = writeln!(out, "{name},{bits},{encodings},{without_noise},{epsilon}");
        }
    });
    scanned.map_err(io::Error::other)?;
    written
}

/// A cell of CSV.
fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Cost, EncoderIdentity, FlowKind, Ledger, MemoryStore, Terms};

    fn store() -> MemoryStore {
        let disk = MemoryStore::new([3; 32]);
        for rows in [vec![0, 1, 2], vec![1, 2]] {
            let cost = Cost { bits: 16, epsilon: None };
            let flows = vec![Flow::new("spring", FlowKind::Codes)];
            let terms = Terms { policy: Policy::default(), cost, flows };
            let mut ledger = Ledger::open(disk.clone(), ["a", "b,c", "d"], terms).unwrap();
            let encoder =
                EncoderIdentity { digest: hashvfl_core::Digest([rows.len() as u8; 32]), frozen: false };
            ledger.reserve(&rows, (&rows, 1), &encoder).unwrap();
        }
        disk
    }

    #[test]
    fn totals_beside_what_is_allowed() {
        let policy = Policy { bits_per_record: Some(64), ..Policy::default() };
        let said = Report::of(&store(), &policy).unwrap().to_string();
        for part in [
            "3 records",
            "bits              16         32         32         64",
            "encodings          1          2          2        any",
            "no finite one for 3 records",
            "2 records released 32 bits",
            "codes to spring: 5 of 80 bits in all",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
        let empty = Report::of(&MemoryStore::new([0; 32]), &policy).unwrap().to_string();
        assert!(empty.starts_with("0 records"), "{empty}");
    }

    #[test]
    fn exports_hold_keys_or_for_the_holder_ids() {
        let csv = |ids: Option<&[String]>| {
            let mut out = Vec::new();
            export(&store(), ids, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        let hashed = csv(None);
        assert_eq!(hashed.lines().count(), 4);
        assert!(
            hashed.starts_with("record,bits,encodings,without_noise,epsilon_with_noise\n")
                && !hashed.contains("b,c")
        );
        let named = csv(Some(&["b,c".to_string(), "x".to_string()]));
        assert_eq!(named.lines().nth(1), Some("\"b,c\",32,2,2,0"));
    }

    #[test]
    fn one_record_in_words() {
        let mut account = Account::default();
        account.charge(Cost { bits: 16, epsilon: None }, 1);
        let policy = Policy { bits_per_record: Some(64), ..Policy::default() };
        let said = explain_account(&account, &policy);
        assert!(said.contains("16 bits of 64 allowed in 1 encodings; epsilon: no finite one"), "{said}");
    }
}
