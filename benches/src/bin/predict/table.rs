//! The credit-default tables, and copies of their records under new ids.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, ensure};
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use hashvfl_data::Matrix;
use hashvfl_learning::top::loss::Labels;
use hashvfl_testbed::federation::home;

/// The parties; FATE's files name them guest and host.
pub const PARTIES: [&str; 2] = ["guest", "host"];

/// What all sides hold, row by row.
pub struct Tables {
    /// Of each party, the header and the cells of each record, without ids and labels.
    parties: [(String, Vec<String>); 2],
    labels: Vec<String>,
}

impl Tables {
    /// Reads guest.csv, which holds the label too, and host.csv.
    pub fn read(data: &Path) -> anyhow::Result<Self> {
        let read = |name: &str| {
            let path = data.join("credit-default").join(format!("{name}.csv"));
            let text =
                std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let lines = text.lines().map(|line| line.split_once(',').context("a line without a comma"));
            let lines = lines.collect::<anyhow::Result<Vec<_>>>()?;
            let own = |(id, cells): &(&str, &str)| (id.to_string(), cells.to_string());
            anyhow::Ok(lines.iter().map(own).collect::<Vec<(String, String)>>())
        };
        let (guest, host) = (read("guest")?, read("host")?);
        ensure!(guest.len() == host.len() && guest.len() > 1, "guest.csv and host.csv hold other records");
        let split = |cells: &str| cells.split_once(',').map(|(y, rest)| (y.to_string(), rest.to_string()));
        let columns = split(&guest[0].1).context("guest.csv has no columns")?.1;
        let by_id: BTreeMap<&str, &str> =
            host[1..].iter().map(|(id, cells)| (id.as_str(), cells.as_str())).collect();
        let (mut labels, mut first, mut second) = (Vec::new(), Vec::new(), Vec::new());
        for (id, cells) in &guest[1..] {
            let (y, rest) = split(cells).context("guest.csv has no columns")?;
            labels.push(y);
            first.push(rest);
            second.push(by_id.get(id.as_str()).context("host.csv lacks a record of guest.csv")?.to_string());
        }
        Ok(Self { parties: [(columns, first), (host[0].1.clone(), second)], labels })
    }

    /// Each party's columns and the labels, as numbers.
    pub fn numbers(&self) -> anyhow::Result<([Matrix; 2], Labels)> {
        let matrix = |(header, rows): &(String, Vec<String>)| {
            let cells = rows.iter().flat_map(|row| row.split(',')).map(str::parse);
            let values = cells.collect::<Result<Vec<f32>, _>>()?;
            anyhow::Ok(Matrix::new(rows.len(), header.split(',').count(), values)?)
        };
        let index = self.labels.iter().map(|label| label.parse()).collect::<Result<Vec<u32>, _>>()?;
        let [guest, host] = &self.parties;
        Ok(([matrix(guest)?, matrix(host)?], Labels::Classes { count: 2, index }))
    }

    /// Number of records.
    pub fn records(&self) -> usize {
        self.labels.len()
    }

    /// Writes what all sides train on, each into its own folder.
    pub fn write_training(&self, out: &Path) -> anyhow::Result<()> {
        for (name, (header, rows)) in PARTIES.iter().zip(&self.parties) {
            let lines = rows.iter().enumerate().map(|(row, cells)| format!("r{row},{cells}"));
            write(&home(out, name)?.join("training.csv"), header, lines)?;
        }
        let lines = self.labels.iter().enumerate().map(|(row, label)| format!("r{row},{label}"));
        write(&home(out, "coordinator")?.join("training.csv"), "y", lines)
    }

    /// Writes `records` copies of records under new ids, and their ids for the coordinator.
    pub fn write_served(&self, out: &Path, records: usize) -> anyhow::Result<()> {
        for (name, (header, rows)) in PARTIES.iter().zip(&self.parties) {
            let lines = (0..records).map(|row| format!("{},{}", id(row), rows[row % rows.len()]));
            write(&home(out, name)?.join("served.csv"), header, lines)?;
        }
        let lines = (0..records).map(|row| format!("{},", id(row)));
        write(&home(out, "coordinator")?.join("served.csv"), "none", lines)
    }
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
