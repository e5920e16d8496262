//! `party inspect`: what a table holds, for its owner's own terminal. It goes to standard output and to no log.

use std::path::Path;

use anyhow::{Context, bail, ensure};
use hashvfl_core::text::{counted, is_plain, records_on_lines};
use hashvfl_data::{
    ColumnFigures, ColumnType, ColumnsSource, CsvColumns, Faulty, Hints, Inspected, Inspection, Missing,
    Pixels, Surveyed, Treatment, load_in_order, load_numbered, survey,
};

use crate::config::{PartyConfig, Source};
use hashvfl_files::say;

/// Blocks of one eighth to eight eighths of a line.
const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Characters of a column's name that are shown.
const NAME_WIDTH: usize = 24;

/// What to show.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The party's config file. Shows its table as training reads it.
    #[arg(long, value_name = "FILE", required_unless_present = "from", conflicts_with = "from")]
    config: Option<std::path::PathBuf>,
    /// A CSV table without a config. Types are inferred from all records.
    #[arg(long, value_name = "TABLE")]
    from: Option<std::path::PathBuf>,
    /// Treat the first line of TABLE as a header, even if the records do not show that it is one.
    #[arg(long, requires = "from")]
    header: bool,
    /// Show the most frequent categories by name. They are private data: use this only on your own terminal.
    #[arg(long)]
    categories: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Prints figures of a table.
pub fn inspect(arguments: &Arguments) -> anyhow::Result<()> {
    let (name, found) = match (&arguments.config, &arguments.from) {
        (Some(path), _) => {
            let config = PartyConfig::read(path)?;
            let found = of_config(&config, arguments.categories)?;
            (path.display().to_string(), found)
        }
        (None, Some(table)) => (table.display().to_string(), of_table(table, arguments)?),
        (None, None) => bail!("no table: pass `--config FILE` or `--from TABLE`"),
    };
    if arguments.json {
        say!("{}", serde_json::to_string_pretty(&found).context("the figures")?);
    } else {
        say!("{name}: {}", text(&found).trim_end());
    }
    Ok(())
}

fn of_config(config: &PartyConfig, categories: bool) -> anyhow::Result<Inspection> {
    let treatment = config.treatment();
    let Source { columns, order, .. } = config.trained_on();
    let table = load_in_order(columns, order, &treatment.accepting_missing())?;
    let found = Inspection::of(&table, &treatment, categories);
    Ok(Inspection { lines: columns.lines()?, remarks: columns.remarks()?, ..found })
}

fn of_table(table: &Path, arguments: &Arguments) -> anyhow::Result<Inspection> {
    let survey = survey(table, &Hints::default())?;
    if !arguments.header {
        survey.check_first_line(table)?;
    }
    // Also columns that no model takes are looked at, and records whose ids repeat.
    let columns: Vec<String> = survey.columns.iter().map(|column| column.name.clone()).collect();
    ensure!(
        !columns.is_empty(),
        "{} has one column only, which is taken for the id: if it holds several, write commas between their cells",
        table.display()
    );
    let treatment = Treatment { faulty: Faulty::Mark, ..survey.treatment() };
    let found =
        Inspection::of(&load_numbered(table, &columns, &treatment)?, &treatment, arguments.categories);
    let id = survey.id.first().map_or("id", String::as_str);
    // For its lines: no id is read.
    let (paths, ignore) = (vec![table.to_path_buf()], Vec::new());
    let source = ColumnsSource::Csv(CsvColumns { paths, id: id.into(), columns: None, ignore, image: None });
    let counts = |column: &Surveyed| [column.leading_zeros, column.ranges, column.thousands, column.nines];
    let is_odd = |column: &&Surveyed| counts(column).iter().any(|count| *count > 0) || column.respelt > 0;
    let odd = survey.columns.iter().filter(is_odd);
    let of_columns = odd.flat_map(|column| {
        column.remarks().into_iter().map(|remark| format!("column {:?}: {remark}", column.name))
    });
    let of_id = match (survey.id.is_empty(), survey.ids) {
        (true, _) => Some("no column has the name of an id".to_string()),
        (false, Some(ids)) if (ids as u64) < survey.records => Some(format!(
            "column {id:?}: {ids} ids of {} records: each record needs one of its own",
            survey.records
        )),
        (false, _) => None,
    };
    let remarks = source.remarks()?.into_iter().chain(of_id).chain(of_columns).collect();
    Ok(Inspection { lines: source.lines()?, remarks, ..found })
}

/// The figures for a terminal.
fn text(found: &Inspection) -> String {
    if let Some(pixels) = &found.pixels {
        return format!("{}{}{}", counted(found.records, "image"), image(pixels), remarks(found));
    }
    let mut table = vec![
        [
            "column",
            "type",
            "missing",
            "distinct",
            "min",
            "25 %",
            "median",
            "75 %",
            "max",
            "skew",
            "histogram",
        ]
        .map(String::from),
    ];
    table.extend(found.columns.iter().map(|column| line(column, found.records)));
    let widths: Vec<usize> = (0..table[0].len())
        .map(|at| table.iter().map(|line| line[at].chars().count()).max().unwrap_or(0))
        .collect();
    let columns = counted(found.columns.len(), "column");
    let mut text = format!("{}, {columns}\n", records_on_lines(found.records, found.lines));
    for (at, line) in table.iter().enumerate() {
        let cells = line.iter().zip(&widths).enumerate().map(|(cell, (value, width))| match cell {
            0 | 1 | 10 => format!("{value:<width$}"),
            _ => format!("{value:>width$}"),
        });
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
        if let Some(column) = at.checked_sub(1).and_then(|at| found.columns.get(at)) {
            text.push_str(&names(column));
        }
    }
    text + &remarks(found)
}

/// What else is to know of the files, a line each.
fn remarks(found: &Inspection) -> String {
    found.remarks.iter().map(|remark| format!("{remark}\n")).collect()
}

fn line(column: &Inspected, records: usize) -> [String; 11] {
    let kind = match column.kind {
        ColumnType::Number => "number",
        ColumnType::Category => "category",
    };
    let mut missing = match (column.missing, column.when_missing) {
        (0, _) => "0 %".to_string(),
        (missing, Missing::Error) => format!("{}, an error", share(missing, records)),
        (missing, Missing::Fill) => share(missing, records),
    };
    if column.unusable > 0 {
        missing += &format!(", {} unusable", column.unusable);
    }
    let mut line = [const { String::new() }; 11];
    (line[0], line[1], line[2]) = (shown(&column.name), kind.to_string(), missing);
    match &column.figures {
        Some(ColumnFigures::Numbers(spread)) => {
            let values =
                [spread.minimum, spread.lower_quartile, spread.median, spread.upper_quartile, spread.maximum];
            line[3] = spread.distinct.to_string();
            for (cell, value) in line[4..9].iter_mut().zip(values) {
                *cell = number(value.into());
            }
            line[9] = hundredths(spread.skewness);
            line[10] = bars(&spread.histogram);
        }
        Some(ColumnFigures::Categories { distinct, histogram, .. }) => {
            line[3] = distinct.to_string();
            line[10] = bars(histogram);
        }
        None => {}
    }
    line
}

/// The most frequent categories, where they were asked for.
fn names(column: &Inspected) -> String {
    match &column.figures {
        Some(ColumnFigures::Categories { histogram, names, .. }) => {
            let lines = names.iter().zip(histogram);
            lines.map(|(name, count)| format!("    {count:>10}  {}\n", shown(name))).collect()
        }
        _ => String::new(),
    }
}

fn image(pixels: &Pixels) -> String {
    let shape = pixels.shape;
    format!(
        " of {} channels, {} x {} pixels\npixels from {} to {}, mean {}\n{}\n",
        shape.channels,
        shape.height,
        shape.width,
        number(pixels.minimum.into()),
        number(pixels.maximum.into()),
        number(pixels.mean),
        bars(&pixels.histogram)
    )
}

/// A text without what moves a terminal's cursor, or turns around what stands beside it.
fn shown(text: &str) -> String {
    let mut shown: String = text.chars().filter(|letter| is_plain(*letter)).take(NAME_WIDTH).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

fn share(part: usize, all: usize) -> String {
    let percent = 100.0 * part as f64 / all as f64;
    if percent < 0.1 { "< 0.1 %".to_string() } else { format!("{percent:.1} %") }
}

/// Four figures.
fn number(value: f64) -> String {
    let size = value.abs();
    if value != 0.0 && !(1e-3..1e6).contains(&size) {
        return format!("{value:.3e}");
    }
    let before = if size < 1.0 { 0 } else { size.log10() as usize + 1 };
    let text = format!("{value:.*}", 4_usize.saturating_sub(before));
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_string() } else { text }
}

/// A number to two decimals; nothing is less than nothing.
fn hundredths(value: f64) -> String {
    let text = format!("{value:.2}");
    if text == "-0.00" { "0.00".to_string() } else { text }
}

/// One bar per number, the largest of full height; nothing where there is none.
fn bars(histogram: &[u64]) -> String {
    let most = histogram.iter().copied().max().unwrap_or(0).max(1);
    let bar = |count: &u64| match *count {
        0 => ' ',
        count => BLOCKS[((count * 8).div_ceil(most) as usize - 1).min(7)],
    };
    histogram.iter().map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_four_figures_and_bars_eight_heights() {
        for (value, expected) in [
            (0.0, "0"),
            (0.25, "0.25"),
            (-12.345_6, "-12.35"),
            (41_231.7, "41232"),
            (3.5e9, "3.500e9"),
            (1e-5, "1.000e-5"),
            (100.0, "100"),
        ] {
            assert_eq!(number(value), expected);
        }
        assert_eq!(bars(&[0, 1, 40, 80]), " ▁▄█");
        assert_eq!(bars(&[]), "");
        assert_eq!(share(1, 10_000), "< 0.1 %");
        assert_eq!(shown("a\u{1b}[2Jb\u{202e}"), "a[2Jb…");
    }
}
