//! What no attack can exceed, by the number of bits that left and by the flips alone. Nothing here looks at what an attack
//! found, and no estimate of an entropy is called a bound.

use hashvfl_core::codes::randomised_response::Response;

use crate::evaluation::attributes::Attribute;
use crate::evaluation::victim::VictimContext;
use crate::report::Bound;

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

/// The bounds on one code of a record, and on everything that a record of the cohort sent.
pub fn bounds(victim: &VictimContext, releases: u64) -> Vec<Bound> {
    let run = &victim.evidence.coordinator.run;
    let form = victim.code_form();
    let change = run.randomised_response.map_or(0.0, |epsilon| Response::change_probability(epsilon, form));
    let one = Channel { latents: form.latents() as f64, levels: form.levels() as f64, change };
    let mut bounds = of_codes(&one, releases, victim.validation.is_some());
    bounds.extend(columns(victim.test.scorer.attributes(), &victim.owner.sources, &one));
    bounds
}

/// Those on codes, of which a training record sent so many `releases`; `validation` where validation records sent as many.
fn of_codes(one: &Channel, releases: u64, validation: bool) -> Vec<Bound> {
    let mut bounds = vec![capacity("one code", one, 1), leakage("one code", one, 1), identification(one)];
    if releases <= 1 {
        return bounds;
    }
    let all = Channel { latents: one.latents * releases as f64, levels: one.levels, change: one.change };
    let counted = Channel { latents: all.latents, levels: all.levels, change: 0.0 };
    let of_training = format!("all {releases} codes of a training record");
    bounds.extend([capacity(&of_training, &counted, releases), leakage(&of_training, &counted, releases)]);
    if all.change > 0.0 {
        bounds.push(Bound {
            about: "the flips of a training record's codes".into(),
            says: "bound nothing beyond their number".into(),
            assumes: "The bottom model is fitted on the record: its columns move its own later codes and those of other records, so \
                      no encoder is fixed without it."
                .into(),
            releases: 0,
        });
        if validation {
            let of_validation = format!("all {releases} codes of a validation record");
            bounds
                .extend([capacity(&of_validation, &all, releases), leakage(&of_validation, &all, releases)]);
        }
    }
    bounds
}

/// What a flip bounds, and for whom.
const FLIPS: &str = "On average over flips, for records that no bottom model was fitted on (test and validation records, not training \
                     records), and for any side knowledge that is independent of the flips.";

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
            "{VACUOUS}: {who} may make a guess certain that was right one time in {} before",
            if factor < 1e6 { format!("{factor:.0}") } else { format!("2^{:.0}", channel.maximal_leakage()) }
        ),
    };
    let of = "Maximal leakage. For any property of a record and any prior, counted from what the guess was worth with all side \
              knowledge.";
    let assumes = if channel.change > 0.0 { format!("{of} {FLIPS}") } else { of.to_string() };
    Bound { about: about.into(), says, assumes, releases }
}

/// By Fano's inequality, for candidates that are equally likely before.
fn identification(channel: &Channel) -> Bound {
    let most = (channel.capacity() + 1.0) / CANDIDATES.log2();
    let says = match most < 1.0 {
        true => format!("finds a record among {CANDIDATES} in at most {:.0} % of cases", 100.0 * most),
        false => format!("{VACUOUS}: {:.1} bits may tell {CANDIDATES} records apart", channel.capacity()),
    };
    let of = "Fano's inequality. For candidates that are equally likely given all side knowledge.";
    let assumes = if channel.change > 0.0 { format!("{of} {FLIPS}") } else { of.to_string() };
    Bound { about: "whose code it is".into(), says, assumes, releases: 0 }
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
        let most = most_right(&fractions, channel.capacity());
        bounds.push(Bound {
            about: format!("column {name}"),
            says: format!("its value is guessed right in at most {:.1} % of records", 100.0 * most),
            assumes: "Rate and distortion, by Blahut and Arimoto. From one code alone, without side knowledge, for the fractions of \
                      values among the adversary's own records."
                .into(),
            releases: 0,
        });
    }
    if !vacuous.is_empty() {
        bounds.push(Bound {
            about: format!("columns {}", vacuous.join(", ")),
            says: format!("{VACUOUS}: one code may hold the whole value"),
            assumes:
                "The entropy of their values among the adversary's own records is below what a code can tell."
                    .into(),
            releases: 0,
        });
    }
    bounds
}

/// Bits.
fn entropy(fractions: &[f64]) -> f64 {
    fractions.iter().filter(|fraction| **fraction > 0.0).map(|fraction| -fraction * fraction.log2()).sum()
}

/// The greatest probability with which a value with these `fractions` is guessed right from `rate` bits of information.
fn most_right(fractions: &[f64], rate: f64) -> f64 {
    // A steeper slope buys more right guesses for more bits.
    let (mut low, mut high) = (0.0, 60.0);
    let common = fractions.iter().copied().fold(0.0, f64::max);
    let mut right = common;
    for _ in 0..HALVINGS {
        let slope = (low + high) / 2.0;
        let (bits, guessed) = blahut_arimoto(fractions, slope);
        if bits <= rate {
            low = slope;
        } else {
            high = slope;
            // Above the rate, so never below what the rate buys.
            right = guessed.max(common);
        }
    }
    right
}

/// Rate in bits and fraction guessed right at one slope of the curve of rate and distortion, where a wrong value costs one.
fn blahut_arimoto(fractions: &[f64], slope: f64) -> (f64, f64) {
    let count = fractions.len();
    let kernel = |value: usize, guess: usize| if value == guess { 1.0 } else { (-slope).exp() };
    let weighed = |value: usize, guesses: &[f64]| -> f64 {
        guesses.iter().enumerate().map(|(guess, likely)| likely * kernel(value, guess)).sum()
    };
    let mut guesses = vec![1.0 / count as f64; count];
    for _ in 0..STEPS {
        let mut next = vec![0.0; count];
        for (value, fraction) in fractions.iter().enumerate() {
            let all = weighed(value, &guesses);
            for (guess, next) in next.iter_mut().enumerate() {
                *next += fraction * guesses[guess] * kernel(value, guess) / all;
            }
        }
        guesses = next;
    }
    let (mut bits, mut right) = (0.0, 0.0);
    for (value, fraction) in fractions.iter().enumerate() {
        let all = weighed(value, &guesses);
        for (guess, likely) in guesses.iter().enumerate().filter(|(_, likely)| **likely > 0.0) {
            let share = likely * kernel(value, guess) / all;
            if share > 0.0 {
                bits += fraction * share * (share / likely).log2();
            }
        }
        right += fraction * guesses[value] / all;
    }
    (bits, right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_and_distortion_of_a_fair_bit() {
        // R = 1 - h(D): half a bit leaves D = 0.1100.
        let right = most_right(&[0.5, 0.5], 0.5);
        assert!((right - 0.8900).abs() < 1e-3, "{right}");
        // A column whose most common value is guessed anyway gains nothing from nothing.
        let right = most_right(&[0.8, 0.2], 0.0);
        assert!((right - 0.8).abs() < 0.01, "{right}");
    }

    #[test]
    fn flips_lower_what_a_code_can_tell() {
        let plain = Channel { latents: 16.0, levels: 2.0, change: 0.0 };
        assert_eq!((plain.capacity(), plain.maximal_leakage()), (16.0, 16.0));
        let noisy = Channel { latents: 16.0, levels: 2.0, change: 0.3775 };
        assert!((noisy.capacity() - 0.698).abs() < 0.01, "{}", noisy.capacity());
        assert!(noisy.maximal_leakage() > noisy.capacity());
        assert!(identification(&plain).says.starts_with(VACUOUS));
        assert!(identification(&noisy).says.contains("at most 17 %"), "{}", identification(&noisy).says);
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
        let bounds = of_codes(&noisy, 16, true);
        let about =
            |who: &str| -> Vec<&Bound> { bounds.iter().filter(|bound| bound.about.contains(who)).collect() };
        let training = about("training record");
        assert_eq!(training.len(), 3);
        assert!(training[0].says.contains("256.0 bits") && training[0].releases == 16, "{:?}", training[0]);
        assert!(training[1].says.starts_with(VACUOUS) && training[1].says.contains("2^256"));
        assert!(training[2].says.starts_with("bound nothing"), "{:?}", training[2]);
        let validation = about("validation record");
        assert!(validation[0].says.contains("11.2 bits"), "{:?}", validation[0]);
        assert!(validation[0].assumes.contains("not training records"), "{:?}", validation[0]);
        assert!(bounds[0].says.contains("tells at most 0.7 bits") && bounds[0].releases == 1);
        // Without flips all codes are counted, of whatever records.
        let plain = Channel { change: 0.0, ..noisy };
        assert_eq!(of_codes(&plain, 16, true).len(), 5);
        assert_eq!(of_codes(&plain, 1, true).len(), 3);
    }
}
