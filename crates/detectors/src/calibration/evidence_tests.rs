use hashvfl_core::random::stream;
use proptest::prelude::*;
use rand::Rng;
use rand::rngs::ChaCha8Rng;

use super::*;
use crate::calibration::conformal::{Ties, flags_interval};

const LEVEL: f64 = 0.01;
/// Calibration rows of the case in which flags fell with each source.
const FEW: usize = 290;
/// Calibration sets over which detection is a mean.
const SETS: usize = 16;
/// The combination finds a smaller fraction of strange rows than the best source alone, of what it sends, by this much at most:
/// sources that say nothing of a row take their parts of the level. It is most where parties send flags, since two of so few
/// calibration rows decide.
const TOLERANCE: f64 = 0.3;

/// Some sources, the coordinator's first.
#[derive(Debug, Clone)]
struct Sources {
    /// How each party sends p-values.
    grids: Vec<Grid>,
    /// The fraction of rows of which all sources say the same.
    dependence: f64,
}

impl Sources {
    /// Fractions of normal rows that are as strange: `fractions[source][row]`. Of the source `strange`, each is raised to that
    /// power, so that 2 makes 0.01 of 0.1.
    fn draw(&self, rng: &mut ChaCha8Rng, rows: usize, strange: (usize, f64)) -> Vec<Vec<f64>> {
        let mut fractions = vec![Vec::with_capacity(rows); 1 + self.grids.len()];
        for _ in 0..rows {
            let (shared, alike) = (uniform(rng), uniform(rng) < self.dependence);
            for (source, fractions) in fractions.iter_mut().enumerate() {
                let own = uniform(rng);
                let fraction: f64 = if alike { shared } else { own };
                fractions.push(if source == strange.0 { fraction.powf(strange.1) } else { fraction });
            }
        }
        fractions
    }

    fn evidence(&self, fractions: &[Vec<f64>]) -> CalibrationEvidence {
        let mut sent = Vec::new();
        for (grid, fractions) in self.grids.iter().zip(&fractions[1..]) {
            sent.push(Some(PackedPValues::pack(*grid, fractions).unwrap()));
        }
        CalibrationEvidence::new(logs(&fractions[0]), None, &sent).unwrap()
    }

    /// What one source says of rows, as it sends it; higher is stranger.
    fn scores_alone(&self, source: usize, fractions: &[Vec<f64>]) -> Vec<f64> {
        let said = match source {
            0 => fractions[0].clone(),
            party => PackedPValues::pack(self.grids[party - 1], &fractions[party]).unwrap().p_values(),
        };
        said.into_iter().map(|fraction| -fraction.ln()).collect()
    }

    /// The combined p-values of rows.
    fn p_values(
        &self,
        evidence: &CalibrationEvidence,
        rule: Combination,
        fractions: &[Vec<f64>],
    ) -> Vec<f64> {
        let parties: Vec<usize> = (0..self.grids.len()).collect();
        let mut sent = Vec::new();
        for (grid, fractions) in self.grids.iter().zip(&fractions[1..]) {
            sent.push(PackedPValues::pack(*grid, fractions).unwrap().p_values());
        }
        let mut of_parties = Vec::new();
        for (grid, p_values) in self.grids.iter().zip(&sent) {
            of_parties.push(SentOfRows { grid: *grid, p_values });
        }
        let calibration = evidence.calibration(rule, &parties).unwrap();
        p_values(&calibration, combined_scores(rule, &logs(&fractions[0]), &of_parties))
    }
}

fn uniform(rng: &mut ChaCha8Rng) -> f64 {
    (f64::from(rng.next_u32()) + 0.5) / 2_f64.powi(32)
}

fn logs(fractions: &[f64]) -> Vec<f64> {
    fractions.iter().map(|fraction| fraction.ln()).collect()
}

fn p_values(calibration: &Calibration, scores: Vec<f64>) -> Vec<f64> {
    scores.into_iter().map(|score| calibration.p_value(score, 0, &mut Ties::Count)).collect()
}

fn flagged(p_values: &[f64]) -> usize {
    p_values.iter().filter(|p_value| **p_value <= LEVEL).count()
}

/// A coordinator and parties that send p-values, or flags of their part of the level.
fn any_sources() -> impl Strategy<Value = Sources> {
    (prop::collection::vec(any::<bool>(), 1..4), 0.0..0.5).prop_map(|(flags, dependence)| {
        let level = LEVEL / (1 + flags.len()) as f64;
        let grid = |flag| if flag { Grid::flag(level).unwrap() } else { Grid::FINE };
        Sources { grids: flags.into_iter().map(grid).collect(), dependence }
    })
}

fn any_rule() -> impl Strategy<Value = Combination> {
    prop::sample::select(Combination::ALL)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn normal_rows_are_flagged_as_the_level_says(
        sources in any_sources(), rule in any_rule(), calibrating in 150..2000_usize, seed in any::<u64>()
    ) {
        let mut rng = stream(seed, "evidence", &[]);
        let evidence = sources.evidence(&sources.draw(&mut rng, calibrating, (0, 1.0)));
        let rows = 3000;
        let normal = sources.draw(&mut rng, rows, (0, 1.0));
        let found = flagged(&sources.p_values(&evidence, rule, &normal));
        let (low, high) = flags_interval(rows, calibrating, LEVEL, 1.0 - 1e-6).unwrap();
        prop_assert!((low..=high).contains(&found), "{found} of {rows}, not {low} to {high}");
    }

    #[test]
    fn strange_rows_are_found_as_by_the_best_source_alone(
        sources in any_sources(), strange in 0..4_usize, power in 1.0..20.0, seed in any::<u64>()
    ) {
        let (rule, rows) = (Combination::Bonferroni, 200);
        let strange = strange % (1 + sources.grids.len());
        let mut rng = stream(seed, "evidence", &[]);
        let (mut together, mut alone) = (0, 0);
        for _ in 0..SETS {
            let normal = sources.draw(&mut rng, FEW, (0, 1.0));
            let found = sources.draw(&mut rng, rows, (strange, power));
            together += flagged(&sources.p_values(&sources.evidence(&normal), rule, &found));
            let calibration = Calibration::new(sources.scores_alone(strange, &normal)).unwrap();
            alone += flagged(&p_values(&calibration, sources.scores_alone(strange, &found)));
        }
        let [together, alone] = [together, alone].map(|count| count as f64 / (SETS * rows) as f64);
        prop_assert!(together >= alone - TOLERANCE, "{together} of all sources, {alone} of source {strange}");
    }
}

/// Flags of strange rows, summed over calibration sets.
struct Found {
    /// Of all sources together, by the source at which rows are strange.
    together: Vec<usize>,
    /// Of each source alone, by the source at which rows are strange: `alone[source][strange]`.
    alone: Vec<Vec<usize>>,
}

impl Found {
    /// With so many `calibrating` rows in each set.
    fn of(sources: &Sources, calibrating: usize, power: f64) -> Self {
        let count = 1 + sources.grids.len();
        let mut rng = stream(calibrating as u64, "found", &[count as u64]);
        let (mut together, mut alone) = (vec![0; count], vec![vec![0; count]; count]);
        for _ in 0..SETS {
            let normal = sources.draw(&mut rng, calibrating, (0, 1.0));
            let evidence = sources.evidence(&normal);
            for strange in 0..count {
                let rows = sources.draw(&mut rng, STRANGE, (strange, power));
                together[strange] += flagged(&sources.p_values(&evidence, Combination::Bonferroni, &rows));
                for (source, alone) in alone.iter_mut().enumerate() {
                    let calibration = Calibration::new(sources.scores_alone(source, &normal)).unwrap();
                    alone[strange] += flagged(&p_values(&calibration, sources.scores_alone(source, &rows)));
                }
            }
        }
        Self { together, alone }
    }
}

/// Rows that are strange at one source, for each calibration set.
const STRANGE: usize = 100;

/// On rows of which each is strange at one source, whichever that is, no source alone finds as many as all together; and where all
/// are strange at the same one, all together find about as many as that one, given rows enough that calibrate.
#[test]
fn all_sources_find_no_fewer_than_the_best_alone_over_rows_that_are_strange_to_one_each() {
    for parties in 1..4 {
        for grid in [Grid::FINE, Grid::flag(LEVEL / (1 + parties) as f64).unwrap()] {
            let sources = Sources { grids: vec![grid; parties], dependence: 0.2 };
            for (calibrating, power) in [(FEW, 3.0), (FEW, 8.0), (968, 3.0), (968, 8.0)] {
                let case =
                    format!("{parties} parties, {grid:?}, {calibrating} rows calibrate, power {power}");
                let Found { together, alone } = Found::of(&sources, calibrating, power);
                let best = alone.iter().map(|found| found.iter().sum::<usize>()).max().unwrap();
                assert!(together.iter().sum::<usize>() >= best, "{case}: {together:?}, alone {alone:?}");
                let rows = (SETS * STRANGE) as f64;
                for (source, together) in together.iter().enumerate().filter(|_| calibrating > FEW) {
                    let missed = (alone[source][source] as f64 - *together as f64) / rows;
                    assert!(missed <= 0.15, "{case}: all miss {missed} that source {source} finds");
                }
            }
        }
    }
}

#[test]
fn one_source_that_is_sure_is_enough_though_few_rows_calibrate() {
    let sources = Sources { grids: vec![Grid::FINE, Grid::flag(LEVEL / 3.0).unwrap()], dependence: 0.0 };
    let mut rng = stream(1, "evidence", &[]);
    let evidence = sources.evidence(&sources.draw(&mut rng, FEW, (0, 1.0)));
    for rule in [Combination::Bonferroni, Combination::GeometricMean] {
        for sure in 0..2 {
            let mut row = vec![vec![0.5]; 3];
            row[sure] = vec![1e-9];
            let p_value = sources.p_values(&evidence, rule, &row)[0];
            assert!(p_value <= LEVEL, "{rule:?}, source {sure}: {p_value}");
        }
    }
    // The least p-value of so few rows, combined with two others without a calibration of their own.
    let least = 1.0 / (FEW + 1) as f64;
    assert!(Combination::Bonferroni.of(&[least, 1.0, 1.0]) > LEVEL);
    assert!(Combination::GeometricMean.of(&[least, 1.0, 1.0]) > LEVEL);
}

#[test]
fn rows_that_a_rule_cannot_tell_apart_are_ordered_by_all_sources() {
    let sent = SentOfRows { grid: Grid::FINE, p_values: &[1.0 / 128.0; 2] };
    let scores = combined_scores(Combination::Bonferroni, &logs(&[0.5, 0.1]), &[sent]);
    assert!(scores[0] < scores[1] && scores[1] - scores[0] < 1e-5, "{scores:?}");
}

#[test]
fn only_what_was_calibrated_is_compared_and_damage_is_an_error() {
    let sources = Sources { grids: vec![Grid::FINE, Grid::flag(LEVEL).unwrap()], dependence: 0.0 };
    let mut rng = stream(2, "evidence", &[]);
    let evidence = sources.evidence(&sources.draw(&mut rng, FEW, (0, 1.0)));
    assert!(evidence.compares(0, Grid::FINE) && !evidence.compares(1, Grid::FINE));
    assert!(!evidence.compares(2, Grid::FINE), "there is no third party");
    assert!(matches!(evidence.calibration(Combination::Bonferroni, &[2]), Err(DetectorError::Empty)));
    let fewer = PackedPValues::pack(Grid::FINE, &[0.5; 3]).unwrap();
    assert!(CalibrationEvidence::new(vec![-1.0; 4], None, &[Some(fewer)]).is_err());
    let json = serde_json::to_value(&evidence).unwrap();
    assert!(serde_json::from_value::<CalibrationEvidence>(json.clone()).unwrap().check().is_ok());
    let damages: [(&str, serde_json::Value); 3] =
        [("bits", 9.into()), ("step", 0.into()), ("p_values", vec![0.0; FEW].into())];
    for (part, damage) in damages {
        let mut damaged = json.clone();
        damaged["parties"][0][part] = damage;
        assert!(serde_json::from_value::<CalibrationEvidence>(damaged).unwrap().check().is_err(), "{part}");
    }
}

#[test]
fn rows_are_calibrated_by_class_where_classes_are_kept() {
    let classes: Vec<u32> = (0..4).map(|row| row % 2).collect();
    let sent = PackedPValues::pack(Grid::FINE, &[0.5; 4]).unwrap();
    let evidence =
        CalibrationEvidence::new(vec![-1.0, -2.0, -3.0, -4.0], Some(classes), &[Some(sent)]).unwrap();
    let calibration = evidence.calibration(Combination::Bonferroni, &[0]).unwrap();
    assert_eq!(calibration.p_value(1e9, 1, &mut Ties::Count), 1.0 / 3.0);
}
