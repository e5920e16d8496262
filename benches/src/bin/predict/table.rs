//! The credit-default tables, and copies of their records under new ids.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use hashvfl_data::Matrix;
use hashvfl_testbed::dataset::{self, Dataset};
use hashvfl_testbed::federation::home;

/// The parties; FATE's files name them guest and host.
pub const PARTIES: [&str; 2] = ["guest", "host"];

/// What all sides hold, row by row.
pub struct Tables {
    dataset: Dataset,
}

impl Tables {
    /// Reads guest.csv, which holds the label too, and host.csv.
    pub fn read(data: &Path) -> anyhow::Result<Self> {
        Ok(Self { dataset: dataset::credit_default(data)? })
    }

    /// Number of records.
    pub fn records(&self) -> usize {
        self.dataset.records()
    }

    /// Writes what all sides train on, each into its own folder.
    pub fn write_training(&self, out: &Path) -> anyhow::Result<()> {
        for party in &self.dataset.parties {
            let lines = (0..self.records()).map(|row| format!("r{row},{}", cells(&party.matrix, row)));
            write(&home(out, party.name)?.join("training.csv"), &header(&party.matrix), lines)?;
        }
        let lines = self.dataset.classes.iter().enumerate().map(|(row, class)| format!("r{row},{class}"));
        write(&home(out, "coordinator")?.join("training.csv"), "y", lines)
    }

    /// Writes `records` copies of records under new ids, and their ids for the coordinator.
    pub fn write_served(&self, out: &Path, records: usize) -> anyhow::Result<()> {
        for party in &self.dataset.parties {
            let lines =
                (0..records).map(|row| format!("{},{}", id(row), cells(&party.matrix, row % self.records())));
            write(&home(out, party.name)?.join("served.csv"), &header(&party.matrix), lines)?;
        }
        let lines = (0..records).map(|row| format!("{},", id(row)));
        write(&home(out, "coordinator")?.join("served.csv"), "none", lines)
    }
}

/// The names that the files give to a party's columns.
fn header(columns: &Matrix) -> String {
    let names: Vec<String> = (0..columns.cols()).map(|column| format!("x{column}")).collect();
    names.join(",")
}

/// A record's values, which read back as the same numbers.
fn cells(columns: &Matrix, row: usize) -> String {
    let values: Vec<String> = columns.row(row).iter().map(f32::to_string).collect();
    values.join(",")
}

/// The id of a served record.
fn id(row: usize) -> String {
    format!("customer-{row:08}")
}

fn write(path: &Path, header: &str, lines: impl Iterator<Item = String>) -> anyhow::Result<()> {
    let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    let mut file = BufWriter::new(file);
    writeln!(file, "id,{header}")?;
    lines.into_iter().try_for_each(|line| writeln!(file, "{line}"))?;
    Ok(file.flush()?)
}

/// Writes a Parquet file with the ids of these rows.
pub fn write_ids(path: &Path, rows: Range<usize>) -> anyhow::Result<()> {
    let schema = Arc::new(parse_message_type("message ids { REQUIRED BYTE_ARRAY id (STRING); }")?);
    let properties = WriterProperties::builder().set_dictionary_enabled(false).build();
    let mut writer = SerializedFileWriter::new(File::create(path)?, schema, Arc::new(properties))?;
    let all: Vec<usize> = rows.collect();
    for rows in all.chunks(1 << 18) {
        let ids: Vec<ByteArray> = rows.iter().map(|row| ByteArray::from(id(*row).as_str())).collect();
        let mut group = writer.next_row_group()?;
        if let Some(mut column) = group.next_column()? {
            column.typed::<ByteArrayType>().write_batch(&ids, None, None)?;
            column.close()?;
        }
        group.close()?;
    }
    writer.close()?;
    Ok(())
}
