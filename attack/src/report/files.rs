//! The files, written whole or not at all, readable only by their owner: they hold reconstructions.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use hashvfl_files::{WriteError, write_whole};

use super::model::{AttackResult, Estimate, Report};
use super::{Metric, page::html};

/// Why a report cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A file cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The folder cannot be created.
    #[error("cannot create {path}: {reason}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        reason: io::Error,
    },
    /// A figure is infinite or no number, which JSON cannot hold and no reader believes.
    #[error("{0} is not a finite number")]
    NotFinite(String),
    /// A picture has another size than its grid.
    #[error("a picture in row {row:?} of {grid:?} has {found} pixels, expected {expected}")]
    Picture {
        /// Title of the grid.
        grid: String,
        /// Name of the row.
        row: String,
        /// Height times width.
        expected: usize,
        /// What the picture has.
        found: usize,
    },
    /// What an attack adds is not its headline less that of the baseline that stands beside it.
    #[error("{attack} ({defence}) adds {added} by its own figure, {expected} over its baseline")]
    Added {
        /// The attack.
        attack: String,
        /// The defence.
        defence: String,
        /// What it says.
        added: f64,
        /// What the report would show beside it.
        expected: f64,
    },
    /// It cannot be put as JSON.
    #[error("cannot put the report as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// Writes `report.html` and `report.json` into `folder`, which it makes if need be. The second is written last, and says of what
/// both were made.
pub fn write(report: &Report, folder: &Path) -> Result<(), ReportError> {
    check(report)?;
    let json = serde_json::to_vec(report)?;
    fs::create_dir_all(folder)
        .map_err(|reason| ReportError::Folder { path: folder.to_path_buf(), reason })?;
    write_whole(&folder.join("report.html"), html(report).as_bytes())?;
    Ok(write_whole(&folder.join("report.json"), &json)?)
}

fn check(report: &Report) -> Result<(), ReportError> {
    let finite = |found: &Estimate, what: &dyn Fn() -> String| {
        let whole = [found.value, found.low, found.high].iter().all(|figure| figure.is_finite());
        if whole { Ok(()) } else { Err(ReportError::NotFinite(what())) }
    };
    for result in &report.results {
        for (metric, found) in &result.metrics {
            finite(found, &|| format!("{metric} of {} ({})", result.attack, result.defence))?;
        }
        for (column, found) in &result.of_columns {
            finite(found, &|| format!("column {column} of {} ({})", result.attack, result.defence))?;
        }
        if result.errors.iter().any(|error| !error.is_finite()) {
            return Err(ReportError::NotFinite(format!(
                "an error of {} ({})",
                result.attack, result.defence
            )));
        }
        check_added(report, result)?;
    }
    for chart in &report.charts {
        for (x, found) in chart.curves.iter().flat_map(|curve| &curve.points) {
            finite(&Estimate { value: *x, ..*found }, &|| format!("a point of {}", chart.title))?;
            finite(found, &|| format!("a point of {}", chart.title))?;
        }
    }
    for point in &report.utility {
        let utility = Estimate { value: point.utility, ..point.leakage };
        for found in [&utility, &point.leakage, &point.baseline] {
            finite(found, &|| format!("utility or leakage of {} ({})", point.defence, point.setting))?;
        }
    }
    for grid in &report.grids {
        let expected = grid.height * grid.width;
        for row in &grid.rows {
            if let Some(image) = row.images.iter().find(|image| image.len() != expected) {
                let (grid, row, found) = (grid.title.clone(), row.name.clone(), image.len());
                return Err(ReportError::Picture { grid, row, expected, found });
            }
            if row.images.iter().flatten().any(|pixel| !pixel.is_finite()) {
                return Err(ReportError::NotFinite(format!("a pixel in row {} of {}", row.name, grid.title)));
            }
        }
    }
    Ok(())
}

fn check_added(report: &Report, result: &AttackResult) -> Result<(), ReportError> {
    let figures = || {
        let (metric, reached) = result.headline()?;
        let base = report.baseline_of(result)?.metrics.get(&metric)?;
        Some((result.metrics.get(&Metric::Added)?.value, reached.value - base.value))
    };
    match figures() {
        Some((added, expected)) if (added - expected).abs() > 1e-6 => {
            let (attack, defence) = (result.attack.to_string(), result.defence.to_string());
            Err(ReportError::Added { attack, defence, added, expected })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::attacks::AttackId;
    use crate::report::sample::{result, sample};
    use crate::report::{CutKind, Knowledge, Population, TargetRecords, Victim};

    #[test]
    fn both_files_for_their_owner_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("attack");
        write(&sample(), &folder).unwrap();
        write(&sample(), &folder).unwrap();
        let mut names: Vec<_> = fs::read_dir(&folder).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["report.html", "report.json"]);
        #[cfg(unix)]
        for name in names {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(folder.join(name)).unwrap().permissions().mode() & 0o777, 0o600);
        }
        let read: serde_json::Value =
            serde_json::from_slice(&fs::read(folder.join("report.json")).unwrap()).unwrap();
        let network = &read["results"][2];
        assert_eq!(network["attack"], "inverse network");
        assert_eq!(network["victim"], "bank's columns (test records)");
        assert_eq!(network["knowledge"][0], "labels");
        assert_eq!(network["cut"], "codes");
        assert_eq!(network["defence"], "hash codes, d = 16");
        assert_eq!(network["metrics"]["skill over mean"]["value"], 0.15);
        assert_eq!(read["charts"][0]["y"], "skill over mean");
    }

    /// `again.py` repeats the main rows of a report by other code: it finds them by what this crate writes.
    #[test]
    fn the_second_implementation_finds_its_rows() {
        let folder = tempfile::tempdir().unwrap();
        let mut report = sample();
        let of = |population, knowledge: &[Knowledge], releases| {
            let mut found = result(AttackId::ConditionalMean, knowledge, releases, CutKind::Codes, 0.1);
            let Victim::Columns { party, .. } = found.victim.clone() else { panic!("columns") };
            found.victim = Victim::Columns { party, of: population };
            found
        };
        let coordinator = [Knowledge::Labels, Knowledge::OtherCodes];
        let organisation = [Knowledge::Labels, Knowledge::OwnColumns];
        report.results = Vec::new();
        for (population, releases) in [(Population::Test, 1), (Population::Training, 5)] {
            let adversaries = [&[][..], &coordinator, &organisation];
            report.results.extend(adversaries.map(|knowledge| of(population, knowledge, releases)));
            report.targets.insert(TargetRecords { of: population, under: None }, vec![5, 3]);
        }
        report.results.push(of(Population::Training, &[], 2));
        let rows = |report: &Report| {
            write(report, folder.path()).unwrap();
            let script = concat!(env!("CARGO_MANIFEST_DIR"), "/again.py");
            Command::new("python3").args([script, "--rows"]).arg(folder.path()).output()
        };
        let Ok(found) = rows(&report) else {
            println!("python3 is not installed: again.py was not tried");
            return;
        };
        let text = String::from_utf8(found.stdout).unwrap();
        assert!(found.status.success(), "{text}{}", String::from_utf8_lossy(&found.stderr));
        assert_eq!(text.lines().count(), 6, "{text}");
        assert!(text.contains("training records: 5 codes, knowing labels, other parties' codes"), "{text}");
        report.results.truncate(3);
        let missing = rows(&report).unwrap();
        let error = String::from_utf8(missing.stderr).unwrap();
        assert!(!missing.status.success() && error.contains("no conditional mean of training"), "{error}");
    }

    #[test]
    fn what_is_no_report_is_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let mut report = sample();
        report.results[0].metrics.get_mut(&Metric::Skill).unwrap().low = f64::NAN;
        let error = write(&report, folder.path()).unwrap_err().to_string();
        assert_eq!(error, "skill over mean of no code (hash codes, d = 16) is not a finite number");
        let mut report = sample();
        report.grids[0].rows[1].images[2].pop();
        let error = write(&report, folder.path()).unwrap_err().to_string();
        assert!(error.ends_with("has 391 pixels, expected 392"), "{error}");
        let mut report = sample();
        report.results[0].metrics.get_mut(&Metric::Skill).unwrap().value = 0.01;
        let error = write(&report, folder.path()).unwrap_err().to_string();
        assert!(
            error.starts_with("inverse network (hash codes, d = 16) adds 0.11 by its own figure, 0.1"),
            "{error}"
        );
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
