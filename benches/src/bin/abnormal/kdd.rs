//! KDD Cup 1999 at the parties: detectors learn only normal connections, attacks are what is strange.
//!
//! Columns are split by what they say: of the connection itself (22), and of others to the same host or service (19).
//! Categories become one column each; numbers are standardised. Both are fitted on normal training rows only.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, ensure};
use hashvfl_core::random::{shuffle, stream};
use hashvfl_data::{Matrix, Preprocessing, Preprocessor};
use hashvfl_detectors::{
    Combination, DetectorKind, MatrixView, Panel, PartyDetector, PartyKind, PartyRows, Score,
};

use hashvfl_testbed::dataset::read_cells;

use crate::choose::{self, Member};
use crate::measure::{Figures, measure};
use crate::scores::Group;
use crate::sources;
use hashvfl_files::say;

const COLUMNS: usize = 41;
/// The first column of the second party.
const SPLIT: usize = 22;
/// protocol_type, service, flag.
const WORDS: [usize; 3] = [1, 2, 3];
/// Standard deviations beyond which a value is cut off.
const CLIP: f32 = 10.0;

/// What was measured, by detector.
pub struct DetectorFigures {
    /// The detector's name.
    pub name: &'static str,
    /// On all test rows.
    pub all: Figures,
    /// On test rows that differ from each other.
    pub distinct: Figures,
    /// Mean area over types of attacks.
    pub mean_over_types: f64,
    /// Types of attacks.
    pub types: usize,
    /// Microseconds a row, at both parties together.
    pub micros: f64,
}

struct Lines {
    cells: Vec<Vec<String>>,
}

fn read(path: &Path) -> anyhow::Result<Lines> {
    let mut cells = read_cells(path, 1)?;
    for row in &mut cells {
        ensure!(row.len() == COLUMNS + 1, "{}: a line has {} cells, expected 42", path.display(), row.len());
        // Classes end with a full stop.
        let class = row[COLUMNS].trim_end_matches('.').to_string();
        row[COLUMNS] = class;
    }
    Ok(Lines { cells })
}

/// What is fitted on normal training rows.
struct CategoryEncoding {
    words: Vec<BTreeMap<String, usize>>,
}

impl CategoryEncoding {
    fn fit(rows: &[&Vec<String>]) -> Self {
        let words = WORDS.iter().map(|column| {
            let found: BTreeSet<&String> = rows.iter().map(|row| &row[*column]).collect();
            found.into_iter().enumerate().map(|(place, word)| (word.clone(), place)).collect()
        });
        Self { words: words.collect() }
    }

    /// Values of one party's columns of a row; a word that no training row has sets the last of its columns.
    fn values(&self, row: &[String], party: usize, to: &mut Vec<f32>) -> anyhow::Result<()> {
        let columns = if party == 0 { 0..SPLIT } else { SPLIT..COLUMNS };
        for column in columns {
            match WORDS.iter().position(|word| *word == column) {
                Some(at) => {
                    let (start, known) = (to.len(), self.words[at].len());
                    to.extend(std::iter::repeat_n(0.0, known + 1));
                    to[start + self.words[at].get(&row[column]).copied().unwrap_or(known)] = 1.0;
                }
                None => to.push(row[column].parse().context("a cell is not a number")?),
            }
        }
        Ok(())
    }

    fn matrix(&self, rows: &[&Vec<String>], party: usize) -> anyhow::Result<Matrix> {
        let mut values = Vec::new();
        for row in rows {
            self.values(row, party, &mut values)?;
        }
        let width = values.len() / rows.len().max(1);
        Ok(Matrix::new(rows.len(), width, values)?)
    }
}

type RowRefs<'a> = Vec<&'a Vec<String>>;

/// The normal training rows, in three parts.
struct Normal<'a> {
    fit: RowRefs<'a>,
    scale: RowRefs<'a>,
    calibration: RowRefs<'a>,
}

impl<'a> Normal<'a> {
    fn of(train: &'a Lines, seed: u64) -> Self {
        let cells = &train.cells;
        let mut normal: Vec<u32> =
            (0..cells.len() as u32).filter(|row| cells[*row as usize][COLUMNS] == "normal").collect();
        shuffle(&mut normal, &mut stream(seed, "kdd split", &[]));
        let (fit, rest) = normal.split_at((0.7 * normal.len() as f64) as usize);
        let (scale, calibration) = rest.split_at((0.8 * normal.len() as f64) as usize - fit.len());
        let [fit, scale, calibration] = [fit, scale, calibration]
            .map(|rows| rows.iter().map(|row| &cells[*row as usize]).collect::<RowRefs<'a>>());
        Self { fit, scale, calibration }
    }
}

/// The detectors of one party, each on a scale of its own.
struct Party<'a> {
    number: usize,
    encoding: &'a CategoryEncoding,
    standardizer: Option<Preprocessor>,
    panels: Vec<Panel<PartyDetector>>,
}

impl<'a> Party<'a> {
    fn fit(
        normal: &Normal<'_>,
        encoding: &'a CategoryEncoding,
        number: usize,
        seed: u64,
    ) -> anyhow::Result<Self> {
        let fitted_on = encoding.matrix(&normal.fit, number)?;
        let all: Vec<u32> = (0..fitted_on.rows() as u32).collect();
        let standardizer = Preprocessing::Standardize.fit(&fitted_on, &all, Some(CLIP))?;
        let mut party = Self { number, encoding, standardizer, panels: Vec::new() };
        let (fit, width) = party.prepare(&normal.fit)?;
        let (scale, _) = party.prepare(&normal.scale)?;
        for kind in PartyKind::ALL {
            let detector = kind.fit(&both(&fit, width)?, seed)?;
            party.panels.push(Panel::new(vec![detector], Combination::Bonferroni, &both(&scale, width)?)?);
        }
        Ok(party)
    }

    /// The scores of each detector.
    fn score(&self, values: &[f32], width: usize) -> anyhow::Result<Vec<Vec<f64>>> {
        self.panels.iter().map(|panel| Ok(panel.score(&both(values, width)?)?)).collect()
    }

    /// Its columns of `rows` as detectors take them, and how many there are.
    fn prepare(&self, rows: &[&Vec<String>]) -> anyhow::Result<(Vec<f32>, usize)> {
        let mut matrix = self.encoding.matrix(rows, self.number)?;
        if let Some(standardizer) = &self.standardizer {
            standardizer.apply(&mut matrix);
        }
        let width = matrix.cols();
        Ok((matrix.into_values(), width))
    }
}

/// Shows how combinations of the second party's detectors rank on spoiled normal rows.
pub fn choose(folder: &Path, seed: u64) -> anyhow::Result<()> {
    let train = read(&folder.join("kdd99/kddcup.data_10_percent.gz"))?;
    let normal = Normal::of(&train, seed);
    let encoding = CategoryEncoding::fit(&normal.fit);
    let party = Party::fit(&normal, &encoding, 1, seed)?;
    let (values, width) = party.prepare(&normal.scale)?;
    let (normal, spoiled) = values.split_at(values.len() / width / 2 * width);
    let of_normal = party.score(normal, width)?;
    let of_spoiled = choose::columns(spoiled, width, seed).map(|values| party.score(&values, width));
    let of_spoiled = of_spoiled.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    let members: Vec<Member> =
        PartyKind::ALL.iter().enumerate().map(|(place, kind)| Member { name: kind.name(), place }).collect();
    say!("{}", choose::SPOILED_COLUMNS);
    choose::rank(&of_normal, &of_spoiled, &members);
    Ok(())
}

/// Shows what both parties' default detectors flag together of the corrected test part, where `few` rows calibrate. There are
/// no codes: the first party stands for the coordinator.
pub fn sources(folder: &Path, seed: u64, few: usize, level: f64) -> anyhow::Result<()> {
    let train = read(&folder.join("kdd99/kddcup.data_10_percent.gz"))?;
    let test = read(&folder.join("kdd99/corrected.gz"))?;
    let normal = Normal::of(&train, seed);
    let encoding = CategoryEncoding::fit(&normal.fit);
    let (usual, attacks): (RowRefs<'_>, RowRefs<'_>) =
        test.cells.iter().partition(|row| row[COLUMNS] == "normal");
    // What each party says of calibration rows, normal test rows and attacks.
    let mut said: [sources::SourceScores; 3] = Default::default();
    for number in 0..2 {
        let party = Party::fit(&normal, &encoding, number, seed)?;
        let (scale, width) = party.prepare(&normal.scale)?;
        let own = (0..PartyKind::ALL.len()).filter(|at| PartyKind::DEFAULT.contains(&PartyKind::ALL[*at]));
        let group = Group::fit(own.collect(), PartyKind::COMBINATION, &party.score(&scale, width)?)?;
        for (said, rows) in said.iter_mut().zip([&normal.calibration, &usual, &attacks]) {
            let (values, width) = party.prepare(rows)?;
            said.push(group.of(&party.score(&values, width)?));
        }
    }
    let [calibration, usual, attacks] = said;
    for (what, rows) in [("normal test rows", usual), ("attacks", attacks)] {
        let found = sources::flagged(&["first party", "second party"], &calibration, &rows, few, level)?;
        sources::print(what, few, level, &found);
    }
    Ok(())
}

/// Fits the detectors of both parties on normal training rows and measures them on the corrected test part.
pub fn run(folder: &Path, seed: u64) -> anyhow::Result<Vec<DetectorFigures>> {
    let train = read(&folder.join("kdd99/kddcup.data_10_percent.gz"))?;
    let test = read(&folder.join("kdd99/corrected.gz"))?;
    let normal = Normal::of(&train, seed);
    let rows: RowRefs<'_> = test.cells.iter().collect();
    let encoding = CategoryEncoding::fit(&normal.fit);
    // `scores[kind]` are those of all parties, the largest for each row: calibration and test. The last is the default.
    let none = [normal.calibration.len(), rows.len()].map(|rows| vec![f64::NEG_INFINITY; rows]);
    let mut scores = vec![none; PartyKind::ALL.len() + 1];
    let mut micros = vec![0.0; PartyKind::ALL.len()];
    for number in 0..2 {
        let party = Party::fit(&normal, &encoding, number, seed)?;
        let (calibration, width) = party.prepare(&normal.calibration)?;
        let parts = [party.prepare(&normal.scale)?.0, calibration, party.prepare(&rows)?.0];
        // `of_parts[part][kind]`.
        let mut of_parts: [Vec<Vec<f64>>; 3] = Default::default();
        // There is one class of training rows, so no bottom model: columns stand for the embedding too.
        for (panel, micros) in party.panels.iter().zip(&mut micros) {
            let mut seconds = 0.0;
            for (part, of_part) in parts.iter().zip(&mut of_parts) {
                let start = Instant::now();
                of_part.push(panel.score(&both(part, width)?)?);
                // Of the last part, the test rows.
                seconds = start.elapsed().as_secs_f64();
            }
            *micros += 1e6 * seconds / rows.len() as f64;
        }
        let own = (0..PartyKind::ALL.len()).filter(|at| PartyKind::DEFAULT.contains(&PartyKind::ALL[*at]));
        let group = Group::fit(own.collect(), PartyKind::COMBINATION, &of_parts[0])?;
        for (part, of_part) in of_parts[1..].iter_mut().enumerate() {
            of_part.push(group.of(of_part));
            for (most, found) in scores.iter_mut().zip(of_part) {
                most[part].iter_mut().zip(found).for_each(|(most, score)| *most = most.max(*score));
            }
        }
    }
    let names = PartyKind::ALL.iter().map(|kind| kind.name()).chain(["default, at the parties"]);
    let named = names.zip(scores);
    let mut seen = HashSet::new();
    let first: Vec<bool> = rows.iter().map(|row| seen.insert(*row)).collect();
    let is_default = |at: &usize| PartyKind::DEFAULT.contains(&PartyKind::ALL[*at]);
    let default = (0..micros.len()).filter(is_default).map(|at| micros[at]).sum();
    let all_micros = micros.into_iter().chain([default]);
    let measured = named.zip(all_micros).map(|((name, scores), micros)| {
        Ok(DetectorFigures { micros, ..figures(name, &scores, &rows, &first, seed)? })
    });
    measured.collect()
}

fn both(values: &[f32], width: usize) -> anyhow::Result<PartyRows<'_>> {
    let values = MatrixView::new("columns", values, width)?;
    Ok(PartyRows::new(values, values)?)
}

fn figures(
    name: &'static str,
    [calibration, test]: &[Vec<f64>; 2],
    rows: &[&Vec<String>],
    first: &[bool],
    seed: u64,
) -> anyhow::Result<DetectorFigures> {
    // Scores of normal rows and of each type of attack, of all rows and of rows that differ.
    let (mut normal, mut attacks) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    let mut by_type: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for ((row, score), first) in rows.iter().zip(test).zip(first) {
        let found = if row[COLUMNS] == "normal" { &mut normal } else { &mut attacks };
        found[0].push(*score);
        if *first {
            found[1].push(*score);
        }
        by_type.entry(&row[COLUMNS]).or_default().push(*score);
    }
    by_type.remove("normal");
    let all = measure(calibration, &normal[0], &attacks[0], seed)?;
    let distinct = measure(calibration, &normal[1], &attacks[1], seed)?;
    let of_all = &normal[0];
    let mut sum = 0.0;
    for of_type in by_type.values() {
        let scores: Vec<f32> = of_all.iter().chain(of_type).map(|score| *score as f32).collect();
        let positive: Vec<bool> = (0..scores.len()).map(|at| at >= of_all.len()).collect();
        sum += hashvfl_learning::metrics::auc(&scores, &positive).unwrap_or(f64::NAN);
    }
    let types = by_type.len();
    Ok(DetectorFigures { name, all, distinct, mean_over_types: sum / types as f64, types, micros: 0.0 })
}
