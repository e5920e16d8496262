//! The tables, each cut between two parties, with the label beside.

use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use clap::ValueEnum;
use flate2::read::GzDecoder;
use hashvfl_testbed::dataset::{RAW_GUEST, RAW_HOST, read_cells};
use hashvfl_testbed::digits::Digits;

/// Which table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Name {
    /// UCI credit card defaults, raw.csv: two classes.
    CreditDefault,
    /// UCI census income, adult.data: two classes.
    Adult,
    /// Statlog vehicle silhouettes: four classes.
    Vehicle,
    /// A twentieth of KDD Cup 1999's tenth: classes of 50 records or more.
    Kdd99,
    /// scikit-learn's diabetes, its raw files: a regression.
    Diabetes,
    /// The logarithm of LIMIT_BAL from credit card defaults: a regression.
    CreditLimit,
    /// Wage of the package ISLP: a regression.
    Wage,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CreditDefault => "credit-default",
            Self::Adult => "adult",
            Self::Vehicle => "vehicle",
            Self::Kdd99 => "kdd99",
            Self::Diabetes => "diabetes",
            Self::CreditLimit => "credit-limit",
            Self::Wage => "wage",
        })
    }
}

/// Records of text, cut between two parties.
pub struct Table {
    /// What each party holds: the header and a line a record, without ids.
    pub parties: [Vec<Vec<String>>; 2],
    /// The label of each record.
    pub labels: Vec<String>,
}

impl Name {
    /// All tables.
    pub const ALL: [Self; 7] = [
        Self::CreditDefault,
        Self::Adult,
        Self::Vehicle,
        Self::Kdd99,
        Self::Diabetes,
        Self::CreditLimit,
        Self::Wage,
    ];

    /// Reads the table from its folder below `data`.
    ///
    /// # Errors
    /// If a file is missing or damaged.
    pub fn read(self, data: &Path) -> anyhow::Result<Table> {
        let table = match self {
            Self::CreditDefault => {
                raw_credit(data)?.cut_by_name([&RAW_HOST, &RAW_GUEST], "default.payment.next.month")
            }
            Self::CreditLimit => {
                let raw = raw_credit(data)?;
                let mut table = raw.cut_by_name([&RAW_HOST[1..], &RAW_GUEST], "LIMIT_BAL")?;
                for label in &mut table.labels {
                    *label = label.parse::<f64>()?.ln().to_string();
                }
                Ok(table)
            }
            Self::Adult => {
                Cells::without_header(read_cells(&data.join("adult/adult.data"), 1)?)?.cut([0..7, 7..14], 14)
            }
            Self::Vehicle => vehicle(&data.join("vehicle")),
            Self::Kdd99 => kdd99(&data.join("kdd99/kddcup.data_10_percent.gz")),
            Self::Diabetes => diabetes(&data.join("diabetes")),
            Self::Wage => {
                let wage = Cells::with_header(read_cells(&data.join("wage/Wage.csv"), 1)?)?;
                wage.cut_by_name(
                    [
                        &["year", "age", "maritl", "race"],
                        &["education", "region", "jobclass", "health", "health_ins"],
                    ],
                    "wage",
                )
            }
        };
        table.with_context(|| format!("the table {self}"))
    }
}

/// Handwritten digits of 8 x 8 pixels, left and right halves; they come with the program.
pub fn digits() -> Table {
    let digits = Digits::load();
    let lines = |half: usize| {
        let text = digits.table(half);
        text.lines().map(|line| line.split(',').skip(1).map(String::from).collect()).collect()
    };
    Table {
        parties: [lines(0), lines(1)],
        labels: digits.classes().iter().map(|class| format!("digit {class}")).collect(),
    }
}

/// Cells of a file.
pub struct Cells {
    /// The name of each column.
    pub header: Vec<String>,
    /// The cells of each record.
    pub rows: Vec<Vec<String>>,
}

impl Cells {
    /// The first line holds names.
    fn with_header(mut rows: Vec<Vec<String>>) -> anyhow::Result<Self> {
        ensure!(rows.len() > 1, "an empty table");
        let header = rows.remove(0);
        Ok(Self { header, rows })
    }

    /// Columns are numbered.
    fn without_header(rows: Vec<Vec<String>>) -> anyhow::Result<Self> {
        let width = rows.first().context("an empty table")?.len();
        Ok(Self { header: (1..=width).map(|number| format!("column_{number}")).collect(), rows })
    }

    fn cut_by_name(&self, parties: [&[&str]; 2], label: &str) -> anyhow::Result<Table> {
        let mut columns: [Vec<usize>; 2] = [Vec::new(), Vec::new()];
        for (columns, names) in columns.iter_mut().zip(parties) {
            for name in names {
                columns.push(self.at(name)?);
            }
        }
        Ok(self.table(columns, self.at(label)?))
    }

    fn cut(&self, parties: [Range<usize>; 2], label: usize) -> anyhow::Result<Table> {
        ensure!(label < self.header.len(), "{} columns, and {label} is not among them", self.header.len());
        Ok(self.table(parties.map(Iterator::collect), label))
    }

    fn table(&self, parties: [Vec<usize>; 2], label: usize) -> Table {
        let of = |columns: Vec<usize>| {
            let lines = std::iter::once(&self.header).chain(&self.rows);
            lines.map(|line| columns.iter().map(|at| line[*at].clone()).collect()).collect()
        };
        Table { parties: parties.map(of), labels: self.rows.iter().map(|row| row[label].clone()).collect() }
    }

    /// The place of the column `name`.
    ///
    /// # Errors
    /// If there is none.
    pub fn at(&self, name: &str) -> anyhow::Result<usize> {
        self.header.iter().position(|column| column == name).with_context(|| format!("no column {name}"))
    }
}

/// Credit card defaults as the bank published them, without the quotes around names.
///
/// # Errors
/// If raw.csv is missing or empty.
pub fn raw_credit(data: &Path) -> anyhow::Result<Cells> {
    let mut cells = read_cells(&data.join("credit-default/raw.csv"), 1)?;
    for cell in cells.iter_mut().flatten() {
        *cell = cell.trim_matches('"').to_string();
    }
    Cells::with_header(cells)
}

/// Guest's and host's files hold the same records in the same order.
fn vehicle(folder: &Path) -> anyhow::Result<Table> {
    let read = |name: &str| Cells::with_header(read_cells(&folder.join(name), 1)?);
    let (guest, host) = (read("guest.csv")?, read("host.csv")?);
    let guest = guest.cut([0..0, 2..11], 1)?;
    let host = host.cut([1..10, 0..0], 0)?;
    let ([_, guest], labels) = (guest.parties, guest.labels);
    let [host, _] = host.parties;
    Ok(Table { parties: [guest, host], labels })
}

/// Least records of a class of KDD Cup 1999: others cannot be in every part.
const LEAST_RECORDS: usize = 50;

fn kdd99(path: &Path) -> anyhow::Result<Table> {
    let rows = read_cells(path, 20)?;
    let of_class = |class: &String| rows.iter().filter(|row| row.last() == Some(class)).count();
    let mut classes: Vec<&String> = rows.iter().filter_map(|row| row.last()).collect();
    classes.sort_unstable();
    classes.dedup();
    classes.retain(|class| of_class(class) >= LEAST_RECORDS);
    let kept = rows.iter().filter(|row| row.last().is_some_and(|class| classes.contains(&class)));
    Cells::without_header(kept.cloned().collect())?.cut([0..20, 20..41], 41)
}

fn diabetes(folder: &Path) -> anyhow::Result<Table> {
    let columns = lines(&folder.join("diabetes_data_raw.csv.gz"))?;
    let labels = lines(&folder.join("diabetes_target.csv.gz"))?;
    ensure!(columns.len() == labels.len(), "{} records and {} labels", columns.len(), labels.len());
    let rows = columns.iter().zip(&labels).map(|(columns, label)| {
        let mut row: Vec<String> = columns.split_whitespace().map(String::from).collect();
        row.push(label.trim().parse::<f64>()?.to_string());
        Ok(row)
    });
    Cells::without_header(rows.collect::<anyhow::Result<_>>()?)?.cut([0..5, 5..10], 10)
}

fn lines(path: &PathBuf) -> anyhow::Result<Vec<String>> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(BufReader::new(GzDecoder::new(file)).lines().collect::<Result<_, _>>()?)
}
