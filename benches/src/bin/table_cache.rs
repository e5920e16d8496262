//! Reads a CSV table of credit-default's shape into the cache, and gathers batches from it and from memory. Prints MB/s of
//! CSV, records/s of batches, and the most memory that was used.
//!
//! `cargo run --release -p hashvfl-benches --bin table_cache -- 10000000 FOLDER`; the CSV file stays there for
//! `benches/python/read_csv.py`.

use std::error::Error;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Instant;

use hashvfl_core::random::{shuffle, stream};
use hashvfl_data::{EncodedColumns, Preprocessing, RecordStore, Treatment};
use hashvfl_testbed::dataset;
use rand::Rng;

const COLUMNS: usize = 23;
const BATCH: usize = 256;
/// Batches that are gathered.
const BATCHES: usize = 2_000;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let rows: u32 = arguments.next().ok_or("how many rows?")?.parse()?;
    let folder = arguments.next().ok_or("in which folder?")?;
    let folder = Path::new(&folder);
    fs::create_dir_all(folder)?;
    let (csv, cache) = (folder.join("credit.csv"), folder.join("credit.cache"));
    if !csv.exists() {
        write(&csv, rows)?;
    }
    let megabytes = csv.metadata()?.len() as f64 / 1e6;
    let source = dataset::csv(csv, Vec::new());
    let treatment = Treatment { preprocessing: Preprocessing::Standardize, ..Treatment::default() };
    let _ = fs::remove_file(&cache);

    let begun = Instant::now();
    let records = RecordStore::load(&source, None, &treatment, Some(&cache))?;
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "{rows} rows, {megabytes:.0} MB of CSV into the cache: {seconds:.1} s, {:.0} MB/s",
        megabytes / seconds
    );
    let begun = Instant::now();
    let all: Vec<u32> = (0..rows).collect();
    let encoding = records.fit(&all, &treatment)?;
    println!("fitted, column by column: {:.1} s", begun.elapsed().as_secs_f64());
    let begun = Instant::now();
    let cached = records.encode(&encoding, &treatment)?;
    println!("encoded: {:.1} s; most memory {}", begun.elapsed().as_secs_f64(), peak());
    let on_disk = gather(&cached, rows)?;
    println!(
        "batches of {BATCH} random records from the cache: {on_disk:.0} records/s; most memory {}",
        peak()
    );
    drop(cached);

    let begun = Instant::now();
    let records = RecordStore::load(&source, None, &treatment, Some(&cache))?;
    println!("opened again: {:.1} s", begun.elapsed().as_secs_f64());
    drop(records);
    let held = RecordStore::load(&source, None, &treatment, None)?.encode(&encoding, &treatment)?;
    let held = gather(&held, rows)?;
    println!(
        "the same from memory: {held:.0} records/s, {:.1} times; most memory {}",
        held / on_disk,
        peak()
    );
    Ok(())
}

/// Records per second.
fn gather(columns: &EncodedColumns, rows: u32) -> Result<f64, Box<dyn Error>> {
    let mut rng = stream(1, "batches", &[]);
    let mut order: Vec<u32> = (0..rows).collect();
    shuffle(&mut order, &mut rng);
    let batches = order.chunks_exact(BATCH).cycle().take(BATCHES);
    let begun = Instant::now();
    let mut sum = 0.0;
    for batch in batches {
        sum += columns.gather(batch)?[0];
    }
    let seconds = begun.elapsed().as_secs_f64();
    assert!(f32::is_finite(sum));
    Ok((BATCH * BATCHES) as f64 / seconds)
}

/// Columns of numbers of few digits, as credit-default's are: ids, sums of money, ages, codes from -2 to 8.
fn write(path: &Path, rows: u32) -> Result<(), Box<dyn Error>> {
    let mut file = BufWriter::new(File::create(path)?);
    let names: Vec<String> = (0..COLUMNS).map(|column| format!("x{column}")).collect();
    writeln!(file, "id,{}", names.join(","))?;
    let mut rng = stream(0, "credit", &[]);
    for row in 0..rows {
        write!(file, "{row}")?;
        for column in 0..COLUMNS {
            let drawn = rng.next_u32();
            match column {
                0 => write!(file, ",{}", 10_000 * (1 + drawn % 80))?,
                1..=3 => write!(file, ",{}", 1 + drawn % 3)?,
                4 => write!(file, ",{}", 21 + drawn % 58)?,
                5..=10 => write!(file, ",{}", i64::from(drawn % 11) - 2)?,
                _ => write!(file, ",{}", drawn % 200_000)?,
            }
        }
        writeln!(file)?;
    }
    Ok(file.flush()?)
}

/// Most memory of this process.
fn peak() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.map_or_else(|| "unknown".to_owned(), |line| line.trim().to_owned())
}
