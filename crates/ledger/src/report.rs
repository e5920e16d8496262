//! What a ledger tells its holder.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io::{self, Write};

use hashvfl_core::TableIds;
use hashvfl_core::text::{counted, times};

use crate::account::Account;
use crate::epsilon::Epsilon;
use crate::flow::{Flow, FlowKind, Volume};
use crate::key::RecordKey;
use crate::policy::Policy;
use crate::store::{Accounts, Store, StoreError};

/// Most lines of the histogram.
const BINS: u64 = 10;

/// What the numbers of a ledger mean.
pub const MEANING: &str = include_str!("meaning.txt");

/// Totals over all records of a ledger, beside what a policy allows.
#[derive(Debug, Clone, PartialEq)]
pub struct LedgerReport {
    records: usize,
    bits: BTreeMap<u64, usize>,
    encodings: BTreeMap<u32, usize>,
    /// Records without a finite epsilon, by why.
    without_noise: usize,
    learned_from: usize,
    old_draw: usize,
    /// Records with a finite epsilon.
    finite: usize,
    largest_epsilon: Epsilon,
    /// Of records without a finite one.
    largest_formal: Epsilon,
    flows: BTreeMap<Flow, Volume>,
    policy: Policy,
}

impl LedgerReport {
    /// Sums up `store`.
    pub fn of(store: &impl Store, policy: &Policy) -> Result<Self, StoreError> {
        let mut report = Self {
            records: 0,
            bits: BTreeMap::new(),
            encodings: BTreeMap::new(),
            without_noise: 0,
            learned_from: 0,
            old_draw: 0,
            finite: 0,
            largest_epsilon: Epsilon::default(),
            largest_formal: Epsilon::default(),
            flows: store.flows()?,
            policy: policy.clone(),
        };
        store.scan(&mut |_, account| {
            report.records += 1;
            *report.bits.entry(account.bits).or_default() += 1;
            *report.encodings.entry(account.encodings).or_default() += 1;
            match account.total_epsilon() {
                Some(epsilon) => {
                    report.finite += 1;
                    report.largest_epsilon = report.largest_epsilon.max(epsilon);
                }
                None => report.largest_formal = report.largest_formal.max(account.epsilon),
            }
            report.without_noise += usize::from(account.without_noise > 0);
            // Where something was sent without noise, that is reason enough.
            report.learned_from += usize::from(account.learned_from && account.without_noise == 0);
            report.old_draw += usize::from(account.old_draw);
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

    /// A coordinator's ledger, which holds no codes and limits nothing: of each record the steps in which its gradients were sent, and
    /// their bits to all parties together; then what was sent to whom.
    pub fn of_labels(&self) -> String {
        let line = |name: &str, [least, median, most]: [u64; 3]| {
            format!("  {name:<9} {least:>10} {median:>10} {most:>10}\n")
        };
        let mut text = format!("{}      least     median       most\n", counted(self.records, "record"));
        text += &line("bits", self.spread(&self.bits));
        text += &line("steps", self.spread(&self.encodings).map(u64::from));
        // A text takes all that is written.
        let _ = self.write_flows(&mut text);
        text
    }

    fn write_epsilon(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { largest_epsilon, largest_formal, .. } = self;
        let limit = self.policy.epsilon_per_record;
        let mut name = "epsilon";
        if self.finite > 0 || limit.is_some() {
            let allowed = limit.map_or_else(|| "any".to_string(), |limit| limit.to_string());
            writeln!(
                f,
                "  {name}   at most {largest_epsilon} for records with a finite one; allowed {allowed}"
            )?;
            name = "";
        }
        let formal = match *largest_formal == Epsilon::default() {
            true => String::new(),
            false => format!(" (formal sum {largest_formal} at most)"),
        };
        for (records, why) in [
            (self.without_noise, "sent without noise"),
            (self.learned_from, "used to fit bottom models"),
            (self.old_draw, "flips were drawn from content alone"),
        ] {
            if records > 0 {
                writeln!(f, "  {name:<7}   none{formal} for {}: {why}", counted(records, "record"))?;
                name = "";
            }
        }
        Ok(())
    }

    fn write_flows(&self, f: &mut impl fmt::Write) -> fmt::Result {
        for (flow, Volume { items, bits }) in &self.flows {
            match flow.kind {
                FlowKind::Refusals => writeln!(
                    f,
                    "  {} was refused {} because its codes revealed too much",
                    flow.recipient,
                    times(items)
                )?,
                FlowKind::Resumes => writeln!(f, "  {} was continued {}", flow.recipient, times(items))?,
                _ => writeln!(f, "  {flow}: {items}, with {} in total", counted(bits, "bit"))?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for LedgerReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let allowed = |limit: Option<String>| limit.unwrap_or_else(|| "any".to_string());
        let policy = &self.policy;
        writeln!(f, "{}      least     median       most    allowed", counted(self.records, "record"))?;
        let [least, median, most] = self.spread(&self.bits);
        let limit = allowed(policy.bits_per_record.map(|n| n.to_string()));
        writeln!(f, "  bits      {least:>10} {median:>10} {most:>10} {limit:>10}")?;
        let [least, median, most] = self.spread(&self.encodings);
        let limit = allowed(policy.encodings_per_record.map(|n| n.to_string()));
        writeln!(f, "  codes     {least:>10} {median:>10} {most:>10} {limit:>10}")?;
        self.write_epsilon(f)?;
        let highest = self.bits.last_key_value().map_or(0, |(bits, _)| *bits);
        let width = if self.bits.len() as u64 <= BINS { 1 } else { highest / BINS + 1 };
        let mut bins = BTreeMap::<u64, usize>::new();
        self.bits.iter().for_each(|(bits, count)| *bins.entry(bits / width).or_default() += count);
        for (bin, count) in bins {
            let (from, to) = (bin * width, bin * width + width - 1);
            let range = if width == 1 { from.to_string() } else { format!("{from} to {to}") };
            writeln!(f, "  {:>18} released {range} bits", counted(count, "record"))?;
        }
        self.write_flows(f)
    }
}

/// One record's account in words, beside what a policy allows.
pub fn explain_account(account: &Account, policy: &Policy) -> String {
    let of = |limit: Option<String>| limit.map_or(String::new(), |limit| format!(" of {limit} allowed"));
    let without_noise = match account.without_noise {
        0 => String::new(),
        1 => ", because 1 code was released without noise".to_string(),
        count => format!(", because {count} codes were released without noise"),
    };
    let flagged = |flag, why: &'static str| if flag { why } else { "" };
    let learned = flagged(
        account.learned_from && account.without_noise == 0,
        ", because bottom models were fitted on it",
    );
    let old_draw = flagged(account.old_draw, ", because flips were drawn from content alone");
    format!(
        "this record released {}{} in {}{}; epsilon: {}{}{without_noise}{learned}{old_draw}",
        counted(account.bits, "bit"),
        of(policy.bits_per_record.map(|n| n.to_string())),
        counted(account.encodings, "code"),
        of(policy.encodings_per_record.map(|n| n.to_string())),
        account.epsilon_in_words(),
        of(policy.epsilon_per_record.map(|n| n.to_string())),
    )
}

/// Writes every account as a line of CSV; with the ids of a table, for its records alone and by id. `epsilon` is the sum
/// where a finite one holds, else `none`; `epsilon_formal` is the sum in any case.
pub fn export(accounts: &impl Accounts, ids: Option<TableIds>, out: &mut impl Write) -> io::Result<()> {
    let name = if ids.is_some() { "id" } else { "record" };
    writeln!(out, "{name},bits,encodings,without_noise,epsilon,epsilon_formal")?;
    let salt = accounts.salt();
    let Some(ids) = ids else {
        return visit(accounts, &mut |key, account| line(out, &key.to_hex(), &account));
    };
    // Each account under the first of its spellings, with what an earlier version kept under the others.
    let mut of_key = HashMap::new();
    let mut records: Vec<(&String, Option<Account>)> = Vec::new();
    for (spelt, id) in ids.ids.iter().zip(ids.canonical()) {
        let key = RecordKey::of(&salt, &id);
        let place = *of_key.entry(key).or_insert_with(|| {
            records.push((spelt, None));
            records.len() - 1
        });
        of_key.insert(RecordKey::of_spelling(&salt, spelt), place);
    }
    visit(accounts, &mut |key, account| {
        if let Some(place) = of_key.get(&key) {
            records[*place].1.get_or_insert_default().fold(&account);
        }
        Ok(())
    })?;
    let released = records.iter().filter_map(|(id, account)| Some((id, account.as_ref()?)));
    released.into_iter().try_for_each(|(id, account)| line(out, &quoted(id), account))
}

fn line(out: &mut impl Write, name: &str, account: &Account) -> io::Result<()> {
    let Account { bits, encodings, without_noise, epsilon: formal, .. } = account;
    let epsilon = account.total_epsilon().map_or_else(|| "none".to_string(), |epsilon| epsilon.to_string());
    writeln!(out, "{name},{bits},{encodings},{without_noise},{epsilon},{formal}")
}

/// Hands every account to `each` until it fails.
fn visit(
    accounts: &impl Accounts,
    each: &mut dyn FnMut(RecordKey, Account) -> io::Result<()>,
) -> io::Result<()> {
    let mut visited = Ok(());
    let scanned = accounts.scan(&mut |key, account| {
        if visited.is_ok() {
            visited = each(key, account);
        }
    });
    scanned.map_err(io::Error::other)?;
    visited
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
#[path = "report_tests.rs"]
mod tests;
