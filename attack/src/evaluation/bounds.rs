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

/// The bounds on one code of a record, and on everything that a training record sent.
pub fn bounds(victim: &VictimContext, releases: u64) -> Vec<Bound> {
    let run = &victim.evidence.coordinator.run;
    let form = victim.code_form();
    let change = run.randomised_response.map_or(0.0, |epsilon| Response::change_probability(epsilon, form));
    let (latents, levels) = (form.latents() as f64, form.levels() as f64);
    let one = Channel { latents, levels, change };
    let all = Channel { latents: latents * releases as f64, levels, change };
    let mut bounds = vec![capacity("one code", &one), leakage("one code", &one), identification(&one)];
    if releases > 1 {
        let about = format!("all {releases} codes of a training record");
        bounds.extend([capacity(&about, &all), leakage(&about, &all)]);
    }
    bounds.extend(columns(victim.test.scorer.attributes(), &victim.owner.names, &one));
    bounds
}

fn capacity(about: &str, channel: &Channel) -> Bound {
    let assumes = match channel.change > 0.0 {
        true => {
            "By the capacity of independent flips. On average over flips, for any encoder that is fixed without the record, and \
             for any side knowledge that is independent of the flips."
        }
        false => "By counting codes. For any encoder and any side knowledge.",
    };
    let says = format!("tells at most {:.1} bits of information about a record", channel.capacity());
    Bound { about: about.into(), says, assumes: assumes.into() }
}

fn leakage(about: &str, channel: &Channel) -> Bound {
    let factor = 2.0_f64.powf(channel.maximal_leakage());
    // A guess that is right one time in `factor` can become certain.
    let says = match factor.is_finite() && factor < CANDIDATES {
        true => format!("makes any guess at most {factor:.1} times as likely to be right"),
        false => format!(
            "{VACUOUS}: it may make a guess certain that was right one time in {} before",
            if factor < 1e6 { format!("{factor:.0}") } else { format!("2^{:.0}", channel.maximal_leakage()) }
        ),
    };
    let assumes = "Maximal leakage. For any property of a record, any prior and any side knowledge that is independent of the flips, \
                   counted from what the guess was worth with it.";
    Bound { about: about.into(), says, assumes: assumes.into() }
}

/// By Fano's inequality, for candidates that are equally likely before.
fn identification(channel: &Channel) -> Bound {
    let most = (channel.capacity() + 1.0) / CANDIDATES.log2();
    let says = match most < 1.0 {
        true => format!("finds a record among {CANDIDATES} in at most {:.0} % of cases", 100.0 * most),
        false => format!("{VACUOUS}: {:.1} bits may tell {CANDIDATES} records apart", channel.capacity()),
    };
    let assumes = "Fano's inequality. For candidates that are equally likely given all side knowledge.";
    Bound { about: "whose code it is".into(), says, assumes: assumes.into() }
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
        });
    }
    if !vacuous.is_empty() {
        bounds.push(Bound {
            about: format!("columns {}", vacuous.join(", ")),
            says: format!("{VACUOUS}: one code may hold the whole value"),
            assumes:
                "The entropy of their values among the adversary's own records is below what a code can tell."
                    .into(),
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
        assert!(leakage("one code", &plain).says.contains("65536"));
        // A level that is sent as any other alike often tells nothing.
        let even = Channel { latents: 2.0, levels: 8.0, change: 7.0 / 8.0 };
        assert!(even.capacity().abs() < 1e-9 && even.maximal_leakage().abs() < 1e-9);
        let sure = Channel { change: 0.0, ..even };
        assert_eq!((sure.capacity(), sure.maximal_leakage()), (6.0, 6.0));
    }
}
