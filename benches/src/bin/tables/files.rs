//! The files of one federation: two parties' parts of raw.csv, each in an order of its own and with records missing,
//! labels, the agreed order, and configs.

use std::collections::HashSet;
use std::path::Path;

use anyhow::Context;
use hashvfl_benches::tables::Cells;
use hashvfl_core::random::stream;
use hashvfl_core::{Digest, RunSettings};
use hashvfl_data::{Order, fingerprint};
use hashvfl_testbed::dataset::{RAW_GUEST, RAW_HOST};
use hashvfl_testbed::federation::{home, write};
use hashvfl_testbed::processes::Configs;
use rand::Rng;
use rand::rngs::ChaCha8Rng;

/// Each party's name and columns.
pub const PARTIES: [(&str, &[&str]); 2] = [("host", &RAW_HOST), ("guest", &RAW_GUEST)];
/// Columns of codes: sex, education, marriage and how late each month's payment was.
const CATEGORIES: [&str; 4] = ["SEX", "EDUCATION", "MARRIAGE", "PAY_"];
const LABEL: &str = "default.payment.next.month";

/// Columns of some rows as a CSV file.
fn csv(cells: &Cells, columns: &[&str], rows: &[usize]) -> anyhow::Result<String> {
    let at = columns.iter().map(|name| cells.at(name)).collect::<anyhow::Result<Vec<usize>>>()?;
    let mut text = columns.join(",") + "\n";
    for row in rows {
        let line: Vec<&str> = at.iter().map(|column| cells.rows[*row][*column].as_str()).collect();
        text += &line.join(",");
        text.push('\n');
    }
    Ok(text)
}

/// How a federation's files are made.
pub struct Files<'a> {
    pub raw: &'a Cells,
    pub missing: f64,
    pub numbers: bool,
    pub seed: u64,
    pub run: &'a RunSettings,
    /// The rest of each party's config, and of the coordinator's.
    pub models: (&'a str, &'a str),
}

impl Files<'_> {
    /// Writes all files below `out`; also gives the number of records that all hold.
    pub fn write(&self, out: &Path) -> anyhow::Result<(Configs, usize)> {
        let mut common: Option<HashSet<usize>> = None;
        let mut held = Vec::new();
        for (index, _) in PARTIES.iter().enumerate() {
            let mut rng = stream(self.seed, "tables held", &[index as u64]);
            let mut rows = shuffled(self.raw.rows.len(), &mut rng);
            rows.truncate((self.raw.rows.len() as f64 * (1.0 - self.missing)).round() as usize);
            let here: HashSet<usize> = rows.iter().copied().collect();
            common = Some(common.map_or(here.clone(), |common| &common & &here));
            held.push(rows);
        }
        let ids = self.raw.at("ID")?;
        let mut agreed: Vec<usize> = common.unwrap_or_default().into_iter().collect();
        // An order that depends on ids alone.
        let key =
            |row: &usize| Digest::of_parts([b"tables".as_slice(), self.raw.rows[*row][ids].as_bytes()]).0;
        agreed.sort_by_cached_key(key);
        let order: Vec<String> = agreed.iter().map(|row| self.raw.rows[*row][ids].clone()).collect();

        let mut parties = Vec::new();
        for ((name, columns), rows) in PARTIES.iter().zip(&held) {
            let folder = home(out, name)?;
            let with_id: Vec<&str> = ["ID"].iter().chain(*columns).copied().collect();
            let path = folder.join("table.csv");
            write(&path, &csv(self.raw, &with_id, rows)?)?;
            let order = Order::new(order.clone(), Some(fingerprint(&[path])?));
            std::fs::write(folder.join("order.csv"), order.to_bytes()).context("cannot write the order")?;
            let config = folder.join("party.toml");
            write(&config, &self.party(name, columns)?)?;
            parties.push((name.to_string(), config));
        }
        let folder = home(out, "coordinator")?;
        let every = shuffled(self.raw.rows.len(), &mut stream(self.seed, "tables labels", &[]));
        let path = folder.join("labels.csv");
        write(&path, &csv(self.raw, &["ID", LABEL], &every)?)?;
        let order = Order::new(order, Some(fingerprint(&[path])?));
        std::fs::write(folder.join("order.csv"), order.to_bytes()).context("cannot write the order")?;
        let coordinator = folder.join("coordinator.toml");
        write(&coordinator, &self.coordinator()?)?;
        Ok((Configs { coordinator, parties }, agreed.len()))
    }

    fn party(&self, name: &str, columns: &[&str]) -> anyhow::Result<String> {
        let is_category = |column: &&&str| {
            CATEGORIES.iter().any(|prefix| column.starts_with(prefix) && !column.starts_with("PAY_AMT"))
        };
        let types: Vec<String> =
            columns.iter().filter(is_category).map(|column| format!("{column} = \"category\"")).collect();
        let types = if self.numbers { String::new() } else { types.join("\n") };
        Ok(format!(
            "name = \"{name}\"\nrun_id = \"tables\"\ncoordinator = \"{{coordinator}}\"\ninsecure_plaintext = true\nstate = \"state\"\n\
             device = \"cpu\"\nseed = {}\npreprocessing = \"quantile\"\nclip = 10.0\norder = \"order.csv\"\n\
             \n[columns]\nformat = \"csv\"\npaths = [\"table.csv\"]\nid = \"ID\"\n\n[types]\n{types}\n\n{}\n{}",
            self.seed + 1,
            self.run_table()?,
            self.models.0,
        ))
    }

    fn coordinator(&self) -> anyhow::Result<String> {
        Ok(format!(
            "run_id = \"tables\"\nlisten = \"127.0.0.1:0\"\ninsecure_plaintext = true\nstate = \"state\"\ndevice = \"cpu\"\nseed = {}\norder = \"order.csv\"\n\
             \n[labels]\nformat = \"csv\"\npaths = [\"labels.csv\"]\nid = \"ID\"\ncolumn = \"{LABEL}\"\n\n{}\n{}",
            self.seed,
            self.run_table()?,
            self.models.1,
        ))
    }

    fn run_table(&self) -> anyhow::Result<String> {
        #[derive(serde::Serialize)]
        struct Table<'a> {
            run: &'a RunSettings,
        }
        Ok(toml::to_string(&Table { run: self.run })?)
    }
}

/// The numbers below `count` in a drawn order.
fn shuffled(count: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
    let mut numbers: Vec<usize> = (0..count).collect();
    for last in (1..count).rev() {
        let other = (u64::from(rng.next_u32()) * (last as u64 + 1)) >> 32;
        numbers.swap(last, other as usize);
    }
    numbers
}
