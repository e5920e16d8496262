//! What no attack can exceed, by the number of bits that left and by the flips alone. No estimate of an entropy is called a bound.
//! One line begins with what an attack found without codes, and says so.

use std::collections::BTreeMap;

use hashvfl_core::codes::randomised_response::Response;

use crate::evaluation::attributes::Attribute;
use crate::evaluation::victim::VictimContext;
use crate::report::{AttackResult, Bound, Metric, Population, Victim};

/// Records among which one is looked for, in the line on identification.
const CANDIDATES: f64 = 1000.0;
/// Steps of Blahut and Arimoto's iteration, and of the search for its slope.
const STEPS: usize = 200;
const HALVINGS: usize = 40;
/// How a line begins that bounds nothing.
const VACUOUS: &str = "vacuous";

/// What one release of the run can tell at most.
struct Channel {
    /// Values that are sent each by itself: bits of a code of signs, latents of one of levels.
    latents: f64,
    /// Levels of each.
    levels: f64,
    /// Probability that one is sent as another; 0 without randomised response.
    change: f64,
}

impl Channel {
    /// Mean bits of information.
    fn capacity(&self) -> f64 {
        let others = if self.levels > 2.0 { self.change * (self.levels - 1.0).log2() } else { 0.0 };
        self.latents * (self.levels.log2() - entropy(&[self.change, 1.0 - self.change]) - others)
    }

    /// Bits by which a guess of anything at all can become likelier (maximal leakage; Issa, Wagner and Kamath 2020).
    fn maximal_leakage(&self) -> f64 {
        self.latents * (self.levels.log2() + (1.0 - self.change).log2())
    }
}

/// How many codes of one record left.
#[derive(Debug, Clone, Copy)]
pub struct ReleaseCounts {
    /// Of a training record, in the run as it was.
    pub seen: u64,
    /// Of a training record at most, by the settings.
    pub allowed: u64,
    /// Of a validation record, where the run has enough.
    pub of_validation: Option<u64>,
}

/// The bounds on one code of a record, and on everything that a record of the cohort sent. `results` say what is known without codes.
pub fn bounds(victim: &VictimContext, releases: ReleaseCounts, results: &[AttackResult]) -> Vec<Bound> {
    let run = &victim.evidence.coordinator.run;
    let form = victim.code_form();
    let change = run.randomised_response.map_or(0.0, |epsilon| Response::change_probability(epsilon, form));
    let one = Channel { latents: form.latents() as f64, levels: form.levels() as f64, change };
    let mut bounds = of_codes(&one, releases);
    bounds.extend(columns(victim.test.scorer.attributes(), &victim.owner.sources, &one));
    bounds.extend(beside_knowledge(&without_codes(results), &one));
    bounds
}

/// Those on codes.
fn of_codes(one: &Channel, releases: ReleaseCounts) -> Vec<Bound> {
    let ReleaseCounts { seen, allowed, of_validation } = releases;
    let mut bounds = vec![capacity("one code", one, 1), leakage("one code", one, 1), identification(one)];
    let all = |releases: u64, change: f64| Channel {
        latents: one.latents * releases as f64,
        levels: one.levels,
        change,
    };
    if seen > 1 {
        let (counted, about) = (all(seen, 0.0), format!("the {seen} own codes of a training record"));
        bounds.extend([own(capacity(&about, &counted, seen)), own(leakage(&about, &counted, seen))]);
    }
    if seen > 1 && one.change > 0.0 {
        bounds.push(Bound {
            about: "the flips of a training record's codes".into(),
            says: "give no bound beyond the number of bits".into(),
            assumes: "The bottom model was fitted on the record, so the record influences its own later codes and those of others; \
                      no encoder is independent of it."
                .into(),
            releases: 0,
        });
        if let Some(releases) = of_validation {
            let all = all(releases, one.change);
            let about = format!("all {releases} codes of a validation record");
            bounds.extend([capacity(&about, &all, releases), leakage(&about, &all, releases)]);
        }
    }
    // A run may have stopped before it had to; whoever cheats goes on.
    if allowed > seen {
        let about = format!("the {allowed} own codes of a training record that the settings allow");
        let counted = all(allowed, 0.0);
        bounds.extend([own(capacity(&about, &counted, allowed)), own(leakage(&about, &counted, allowed))]);
    }
    bounds
}

/// What counting a training record's codes leaves out.
const OWN: &str = "About its own codes: what its columns do to other records' codes through batch statistics, thresholds and weights is \
                   not bounded.";

/// A bound on the codes of a record that bottom models are fitted on.
fn own(bound: Bound) -> Bound {
    let says =
        format!("{}; its columns move other records' codes too, which nothing here bounds", bound.says);
    Bound { says, assumes: format!("{} {OWN}", bound.assumes), ..bound }
}

/// What a flip bounds, and for whom.
const FLIPS: &str = "On average over the flips; for records on which no bottom model was fitted (test and validation records, not \
                     training records); for any side knowledge that is independent of the flips.";

fn capacity(about: &str, channel: &Channel, releases: u64) -> Bound {
    let assumes = match channel.change > 0.0 {
        true => format!("By the capacity of independent flips. {FLIPS}"),
        false => "By counting codes. For any encoder and any side knowledge.".to_string(),
    };
    let verb = if releases == 1 { "tells" } else { "tell" };
    let says = format!("{verb} at most {:.1} bits of information about a record", channel.capacity());
    Bound { about: about.into(), says, assumes, releases }
}

fn leakage(about: &str, channel: &Channel, releases: u64) -> Bound {
    let factor = 2.0_f64.powf(channel.maximal_leakage());
    let (verb, who) = if releases == 1 { ("makes", "it") } else { ("make", "they") };
    // A guess that is right one time in `factor` can become certain.
    let says = match factor.is_finite() && factor < CANDIDATES {
        true => format!("{verb} any guess at most {factor:.1} times as likely to be right"),
        false => format!(
            "{VACUOUS}: {who} could turn a guess with a chance of 1 in {} into certainty",
            if factor < 1e6 { format!("{factor:.0}") } else { format!("2^{:.0}", channel.maximal_leakage()) }
        ),
    };
    let of = "Maximal leakage. For any property of a record and any prior, counted from what the guess was worth with all side \
              knowledge.";
    Bound { about: about.into(), says, assumes: under_flips(of, channel), releases }
}

/// By Fano's inequality or by maximal leakage, whichever says more, for candidates that are equally likely before.
fn identification(channel: &Channel) -> Bound {
    let by_fano = (channel.capacity() + 1.0) / CANDIDATES.log2();
    let most = by_fano.min(2.0_f64.powf(channel.maximal_leakage()) / CANDIDATES);
    let says = match most < 1.0 {
        true => format!("finds a record among {CANDIDATES} in at most {:.1} % of cases", 100.0 * most),
        false => format!("{VACUOUS}: {:.1} bits can distinguish {CANDIDATES} records", channel.capacity()),
    };
    let of = "The lesser of Fano's inequality and maximal leakage. For candidates that are equally likely given all side knowledge.";
    Bound { about: "whose code it is".into(), says, assumes: under_flips(of, channel), releases: 0 }
}

/// An assumption, with whom flips bound something for where there are some.
fn under_flips(assumes: &str, channel: &Channel) -> String {
    if channel.change > 0.0 { format!("{assumes} {FLIPS}") } else { assumes.to_string() }
}

/// How often the value of a column can be guessed right from one code alone.
fn columns(attributes: &[Attribute], names: &[String], channel: &Channel) -> Vec<Bound> {
    let (mut bounds, mut vacuous) = (Vec::new(), Vec::new());
    for attribute in attributes {
        let fractions: Vec<f64> = attribute.fractions.iter().map(|fraction| f64::from(*fraction)).collect();
        let name = names.get(attribute.column).cloned().unwrap_or_default();
        if entropy(&fractions) <= channel.capacity() {
            vacuous.push(name);
            continue;
        }
        let most = most_right(&fractions, channel.capacity(), STEPS);
        bounds.push(Bound {
            about: format!("column {name}"),
            says: format!("its value is guessed right in at most {:.1} % of records", 100.0 * most),
            assumes: under_flips(OF_COLUMNS, channel),
            releases: 0,
        });
    }
    if !vacuous.is_empty() {
        let of = "The entropy of their values among the adversary's own records is less than the bits of one code.";
        bounds.push(Bound {
            about: format!("columns {}", vacuous.join(", ")),
            says: format!("{VACUOUS}: one code may hold the whole value"),
            assumes: under_flips(of, channel),
            releases: 0,
        });
    }
    bounds
}

/// How rate and distortion bound a column.
const OF_COLUMNS: &str = "Rate and distortion, by Blahut and Arimoto: the dual of their iteration. From one code alone, without side \
                          knowledge, for the fractions of values among the adversary's own records.";

/// How often the value of each column with few values is guessed right at most by who knows most and has no code: the greatest upper
/// end of an interval.
fn without_codes(results: &[AttackResult]) -> BTreeMap<String, f64> {
    let mut right: BTreeMap<String, f64> = BTreeMap::new();
    for result in results.iter().filter(|result| result.is_baseline()) {
        let Victim::Column { column, of: Population::Test, .. } = &result.victim else { continue };
        let Some(found) = result.metrics.get(&Metric::Accuracy) else { continue };
        let most = right.entry(column.clone()).or_insert(found.high);
        *most = most.max(found.high);
    }
    right
}

/// How often columns are guessed right from one code beside whatever else is known, by how often they are without it.
fn beside_knowledge(without: &BTreeMap<String, f64>, channel: &Channel) -> Vec<Bound> {
    let factor = 2.0_f64.powf(channel.maximal_leakage());
    let (mut bounds, mut vacuous) = (Vec::new(), Vec::new());
    for (column, right) in without {
        let most = factor * right;
        if most >= 1.0 {
            vacuous.push(column.as_str());
            continue;
        }
        let (most, right) = (100.0 * most, 100.0 * right);
        bounds.push(Bound {
            about: format!("column {column}, beside any side knowledge"),
            says: format!(
                "its value is guessed right in at most {most:.1} % of records from one code, if in at most {right:.1} % without codes"
            ),
            assumes: under_flips(MEASURED, channel),
            releases: 0,
        });
    }
    if !vacuous.is_empty() {
        bounds.push(Bound {
            about: format!("columns {}, beside any side knowledge", vacuous.join(", ")),
            says: format!("{VACUOUS}: one code may make sure what without codes is a guess"),
            assumes: under_flips(MEASURED, channel),
            releases: 0,
        });
    }
    bounds
}

/// What stands behind a bound that begins with a figure.
const MEASURED: &str = "Maximal leakage. What is guessed right without codes is measured, and no bound: the upper end of the interval of \
                        the adversary that knows most. Who guesses better without codes may do so with them.";

/// Bits.
fn entropy(fractions: &[f64]) -> f64 {
    fractions.iter().filter(|fraction| **fraction > 0.0).map(|fraction| -fraction * fraction.log2()).sum()
}

/// The greatest probability with which a value with these `fractions` is guessed right from `rate` bits of information: a dual bound,
/// which holds wherever the iteration stands.
fn most_right(fractions: &[f64], rate: f64, steps: usize) -> f64 {
    // A steeper slope buys more right guesses for more bits.
    let (mut low, mut high, mut right) = (0.0, 60.0, 1.0_f64);
    for _ in 0..HALVINGS {
        let slope = (low + high) / 2.0;
        let (bits, most) = at_slope(fractions, rate, slope, steps);
        right = right.min(most);
        if bits <= rate { low = slope } else { high = slope }
    }
    right.max(fractions.iter().copied().fold(0.0, f64::max))
}

/// Rate in bits at one slope of the curve of rate and distortion, where a wrong value costs one, and the fraction guessed right that
/// nobody exceeds with `rate` bits (Blahut 1972).
fn at_slope(fractions: &[f64], rate: f64, slope: f64, steps: usize) -> (f64, f64) {
    let curve = Slope { fractions, wrong: (-slope).exp() };
    let count = fractions.len();
    let mut guesses = vec![1.0 / count as f64; count];
    for _ in 0..steps {
        let factors = curve.factors(&curve.weighed(&guesses));
        guesses.iter_mut().zip(factors).for_each(|(likely, factor)| *likely *= factor);
    }
    let all = curve.weighed(&guesses);
    let greatest = curve.factors(&all).into_iter().fold(0.0, f64::max);
    let nats: f64 = fractions.iter().zip(&all).map(|(fraction, all)| fraction * all.ln()).sum();
    let most = 1.0 + (nats + greatest.ln() + rate * std::f64::consts::LN_2) / slope;
    let mut bits = 0.0;
    for (value, fraction) in fractions.iter().enumerate() {
        for (guess, likely) in guesses.iter().enumerate() {
            let share = likely * curve.kernel(value, guess) / all[value];
            if share > 0.0 {
                bits += fraction * share * (share / likely).log2();
            }
        }
    }
    (bits, most)
}

/// One slope of that curve, for a value with these `fractions`.
struct Slope<'a> {
    fractions: &'a [f64],
    /// How much a wrong guess counts where a right one counts 1.
    wrong: f64,
}

impl Slope<'_> {
    fn kernel(&self, value: usize, guess: usize) -> f64 {
        if value == guess { 1.0 } else { self.wrong }
    }

    /// For each value, what all `guesses` make of it.
    fn weighed(&self, guesses: &[f64]) -> Vec<f64> {
        let mut all = vec![0.0; guesses.len()];
        for (value, all) in all.iter_mut().enumerate() {
            for (guess, likely) in guesses.iter().enumerate() {
                *all += likely * self.kernel(value, guess);
            }
        }
        all
    }

    /// For each guess, what all values make of it by `all`: 1 where the iteration has ended.
    fn factors(&self, all: &[f64]) -> Vec<f64> {
        let mut factors = vec![0.0; all.len()];
        for (guess, factor) in factors.iter_mut().enumerate() {
            for (value, fraction) in self.fractions.iter().enumerate() {
                *factor += fraction * self.kernel(value, guess) / all[value];
            }
        }
        factors
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_and_distortion_of_a_fair_bit() {
        // R = 1 - h(D): half a bit leaves D = 0.1100.
        let right = most_right(&[0.5, 0.5], 0.5, STEPS);
        assert!((right - 0.8900).abs() < 1e-3, "{right}");
        // A column whose most common value is guessed anyway gains nothing from nothing.
        let right = most_right(&[0.8, 0.2], 0.0, STEPS);
        assert!((right - 0.8).abs() < 0.01, "{right}");
        // However early the iteration ends, it bounds.
        let fractions = [0.5, 0.3, 0.15, 0.05];
        let [ended, begun] = [2_000, 1].map(|steps| most_right(&fractions, 0.4, steps));
        assert!(begun >= ended - 1e-9 && begun < 1.0, "{begun} {ended}");
    }

    #[test]
    fn flips_lower_what_a_code_can_tell() {
        let plain = Channel { latents: 16.0, levels: 2.0, change: 0.0 };
        assert_eq!((plain.capacity(), plain.maximal_leakage()), (16.0, 16.0));
        let noisy = Channel { latents: 16.0, levels: 2.0, change: 0.3775 };
        assert!((noisy.capacity() - 0.698).abs() < 0.01, "{}", noisy.capacity());
        assert!(noisy.maximal_leakage() > noisy.capacity());
        assert!(identification(&plain).says.starts_with(VACUOUS));
        // Fano's inequality alone would say 17.
        assert!(identification(&noisy).says.contains("at most 3.3 %"), "{}", identification(&noisy).says);
        let short = Channel { latents: 4.0, ..plain };
        assert!(identification(&short).says.contains("at most 1.6 %"), "{}", identification(&short).says);
        assert!(leakage("one code", &plain, 1).says.contains("65536"));
        // A level that is sent as any other alike often tells nothing.
        let even = Channel { latents: 2.0, levels: 8.0, change: 7.0 / 8.0 };
        assert!(even.capacity().abs() < 1e-9 && even.maximal_leakage().abs() < 1e-9);
        let sure = Channel { change: 0.0, ..even };
        assert_eq!((sure.capacity(), sure.maximal_leakage()), (6.0, 6.0));
    }

    #[test]
    fn flips_bound_nothing_of_records_that_bottom_models_are_fitted_on() {
        let noisy = Channel { latents: 16.0, levels: 2.0, change: 0.3775 };
        let releases = |seen, allowed| ReleaseCounts { seen, allowed, of_validation: Some(seen) };
        let bounds = of_codes(&noisy, releases(16, 16));
        let about =
            |who: &str| -> Vec<&Bound> { bounds.iter().filter(|bound| bound.about.contains(who)).collect() };
        let training = about("training record");
        assert_eq!(training.len(), 3);
        assert!(training[0].says.contains("256.0 bits") && training[0].releases == 16, "{:?}", training[0]);
        assert!(training[1].says.starts_with(VACUOUS) && training[1].says.contains("2^256"));
        assert!(training[2].says.starts_with("give no bound"), "{:?}", training[2]);
        let validation = about("validation record");
        assert!(validation[0].says.contains("11.2 bits"), "{:?}", validation[0]);
        assert!(validation[0].assumes.contains("not training records"), "{:?}", validation[0]);
        assert!(bounds[0].says.contains("tells at most 0.7 bits") && bounds[0].releases == 1);
        // Without flips all codes are counted, of whatever records; what columns do to other records' codes is not.
        let plain = Channel { change: 0.0, ..noisy };
        let bounds = of_codes(&plain, releases(16, 16));
        assert_eq!(bounds.len(), 5);
        assert!(bounds[3].assumes.ends_with(OWN) && bounds[4].assumes.ends_with(OWN), "{bounds:?}");
        assert!(bounds[3].about.contains("16 own codes") && bounds[3].says.contains("other records' codes"));
        assert!(!bounds[0].assumes.contains(OWN), "one code of a test record moves nothing");
        assert_eq!(of_codes(&plain, releases(1, 1)).len(), 3);
        // Validation records may send fewer.
        let fewer = of_codes(&noisy, ReleaseCounts { of_validation: Some(5), ..releases(16, 16) });
        assert!(fewer.iter().any(|bound| bound.about.contains("all 5 codes of a validation record")));
    }

    #[test]
    fn all_codes_that_the_settings_allow_are_counted_where_the_run_stopped_before() {
        let plain = Channel { latents: 16.0, levels: 2.0, change: 0.0 };
        let bounds = of_codes(&plain, ReleaseCounts { seen: 6, allowed: 30, of_validation: None });
        let bits = |releases: u64| {
            let of = bounds.iter().find(|bound| bound.releases == releases);
            of.unwrap_or_else(|| panic!("{bounds:?}")).says.clone()
        };
        assert!(bits(6).contains("96.0 bits") && bits(30).contains("480.0 bits"), "{bounds:?}");
    }

    #[test]
    fn columns_are_bounded_beside_side_knowledge_and_flips_say_for_whom() {
        let short = Channel { latents: 2.0, levels: 2.0, change: 0.0 };
        let without = BTreeMap::from([("city".to_string(), 0.1), ("sex".to_string(), 0.6)]);
        let lines = beside_knowledge(&without, &short);
        let [city, sex] = &lines[..] else { panic!("two lines") };
        assert!(
            city.says.contains("at most 40.0 % of records from one code, if in at most 10.0 %"),
            "{city:?}"
        );
        assert!(city.assumes.contains("measured, and no bound") && !city.assumes.contains(FLIPS), "{city:?}");
        assert!(sex.about.starts_with("columns sex") && sex.says.starts_with(VACUOUS), "{sex:?}");
        let noisy = Channel { change: 0.3, ..short };
        assert!(beside_knowledge(&without, &noisy)[0].assumes.ends_with(FLIPS));
        assert!(under_flips(OF_COLUMNS, &noisy).ends_with(FLIPS));
        assert!(!under_flips(OF_COLUMNS, &short).contains(FLIPS));
    }

    #[test]
    fn what_is_known_without_codes_is_that_of_the_adversary_that_knows_most() {
        use crate::attacks::AttackId;
        use crate::report::sample::result;
        use crate::report::{CutKind, Estimate};
        let about = |releases: u64, of: Population, high: f64| {
            let mut found = result(AttackId::NoCode, &[], releases, CutKind::Codes, 0.0);
            let Victim::Columns { party, .. } = found.victim.clone() else { panic!("columns") };
            found.victim = Victim::Column { party, column: "sex".into(), of };
            found.metrics.insert(Metric::Accuracy, Estimate { value: high, low: high, high });
            found
        };
        let results = [
            about(0, Population::Test, 0.6),
            about(0, Population::Test, 0.62),
            about(0, Population::Training, 0.7),
            about(1, Population::Test, 0.9),
        ];
        assert_eq!(without_codes(&results), BTreeMap::from([("sex".to_string(), 0.62)]));
    }
}
