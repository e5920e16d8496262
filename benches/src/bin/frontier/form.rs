//! What parties send in a row of the table: in few words on the command line, as settings of a run, and for people.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use hashvfl_attack::frontier::FrontierForm;
use hashvfl_attack::report::CutKind;
use hashvfl_core::codes::randomised_response::cost_of_a_draw;
use hashvfl_core::{CodeForm, GradientEncoding, PartyName, RunSettings};

/// A form in words: `16x1`, `16x4,victim=1x5,noise=0.4,victim_noise=0.1`, `16x1,epochs=8,cycles=2`, `16x1,cohort=0.2`, `16x1,epsilon=2`,
/// `16x1,floats`, `16x1,one-bit`.
#[derive(Debug, Clone, PartialEq)]
pub struct Words {
    code: CodeForm,
    victim: Option<CodeForm>,
    noise: Option<f32>,
    victim_noise: Option<f32>,
    epsilon: Option<f64>,
    cohort: Option<f64>,
    batch: Option<usize>,
    epochs: Option<u32>,
    cycles: Option<u32>,
    cut: CutKind,
}

/// How forms are told apart by colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Codes of signs.
    Signs,
    /// Codes of levels.
    Levels,
    /// Codes of encode-once training.
    EncodeOnce,
    /// Codes under randomised response.
    RandomisedResponse,
    /// Floats.
    Floats,
    /// Floats at one bit each.
    OneBitFloats,
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Signs => "signs",
            Self::Levels => "levels",
            Self::EncodeOnce => "encode-once",
            Self::RandomisedResponse => "randomised response",
            Self::Floats => "floats (simulated)",
            Self::OneBitFloats => "floats at one bit each (simulated)",
        })
    }
}

impl FromStr for Words {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (code, rest) = text.split_once(',').unwrap_or((text, ""));
        let mut words = Self {
            code: code.parse()?,
            victim: None,
            noise: None,
            victim_noise: None,
            epsilon: None,
            cohort: None,
            batch: None,
            epochs: None,
            cycles: None,
            cut: CutKind::Codes,
        };
        for word in rest.split(',').filter(|word| !word.is_empty()) {
            match word.split_once('=') {
                None if word == "floats" => words.cut = CutKind::SimulatedFloats,
                None if word == "one-bit" => words.cut = CutKind::SimulatedQuantised,
                Some(("victim", code)) => words.victim = Some(code.parse()?),
                Some(("noise", number)) => words.noise = Some(parsed(word, number)?),
                Some(("victim_noise", number)) => words.victim_noise = Some(parsed(word, number)?),
                Some(("epsilon", number)) => words.epsilon = Some(parsed(word, number)?),
                Some(("cohort", number)) => words.cohort = Some(parsed(word, number)?),
                Some(("batch", number)) => words.batch = Some(parsed(word, number)?),
                Some(("epochs", number)) => words.epochs = Some(parsed(word, number)?),
                Some(("cycles", number)) => words.cycles = Some(parsed(word, number)?),
                _ => {
                    let known = "victim=LxB, noise=, victim_noise=, epsilon=, cohort=, batch=, epochs=, cycles=, floats or one-bit";
                    return Err(format!("{word}: expected {known}"));
                }
            }
        }
        let sends_floats = words.cut != CutKind::Codes;
        if sends_floats && (words.epsilon.is_some() || words.cohort.is_some()) {
            return Err("floats cannot be combined with randomised response or a cohort here".into());
        }
        Ok(words)
    }
}

fn parsed<T: FromStr>(word: &str, number: &str) -> Result<T, String> {
    number.parse().map_err(|_| format!("{word}: not a number"))
}

impl Words {
    /// The form on top of the settings `run`.
    pub fn form(&self, run: &RunSettings, victim: &PartyName) -> FrontierForm {
        let mut run = RunSettings {
            bits: self.code.bits(),
            bits_per_latent: self.code.bits_per_latent(),
            randomised_response: self.epsilon,
            cohort_fraction: self.cohort.unwrap_or(run.cohort_fraction),
            epochs: self.epochs.unwrap_or(run.epochs),
            cycles: self.cycles.unwrap_or(run.cycles),
            ..run.clone()
        };
        run.codes = self.victim.iter().map(|code| (victim.clone(), *code)).collect();
        if let Some(rows) = self.batch {
            run.batch_rows = rows.into();
        }
        if self.cut != CutKind::Codes {
            // Floats pass through this process alone: no encoding of gradients speaks for them.
            run.gradient = GradientEncoding::F32;
        }
        let mut noises = BTreeMap::new();
        if let Some(noise) = self.noise {
            noises.extend(run.parties.iter().map(|name| (name.clone(), noise)));
        }
        noises.extend(self.victim_noise.map(|noise| (victim.clone(), noise)));
        FrontierForm { name: self.name(&run, victim), run, cut: self.cut, noises, as_score: false }
    }

    /// Its family.
    pub fn family(&self) -> Family {
        let all_signs = self.code.is_signs() && self.victim.is_none_or(|code| code.is_signs());
        match self.cut {
            CutKind::SimulatedFloats => Family::Floats,
            CutKind::SimulatedQuantised => Family::OneBitFloats,
            _ if self.cohort.is_some() => Family::EncodeOnce,
            _ if self.epsilon.is_some() => Family::RandomisedResponse,
            _ if all_signs => Family::Signs,
            _ => Family::Levels,
        }
    }

    /// What is written beside its dot.
    pub fn short(&self) -> String {
        let form = self.victim.unwrap_or(self.code);
        let code = match (self.cut, form.is_signs()) {
            (CutKind::Codes, true) => format!("{}", form.bits()),
            (CutKind::Codes, false) => form.to_string(),
            _ => format!("{}", form.latents()),
        };
        let beside = if self.victim.is_some() { format!(" beside {}", self.code) } else { String::new() };
        let epsilon = self.epsilon.map(|epsilon| format!(", e {epsilon}")).unwrap_or_default();
        format!("{code}{beside}{epsilon}")
    }

    fn name(&self, run: &RunSettings, victim: &PartyName) -> String {
        let code = |form: CodeForm| match form.is_signs() {
            true => format!("{} signs", form.bits()),
            false => format!("{} x {}", form.latents(), form.bits_per_latent()),
        };
        let mut name = match self.cut {
            CutKind::SimulatedFloats => format!("{} floats", self.code.latents()),
            CutKind::SimulatedQuantised => format!("{} floats at one bit each", self.code.latents()),
            _ => code(self.code),
        };
        if let Some(own) = self.victim {
            name = format!("{} beside {name}", code(own));
        }
        if let Some(noise) = self.noise {
            name += &format!(", noise {noise}");
        }
        if let Some(noise) = self.victim_noise {
            name += &format!(", own noise {noise}");
        }
        if let Some(epochs) = self.epochs {
            name += &format!(", {epochs} epochs");
        }
        if let Some(cycles) = self.cycles {
            name += &format!(", {cycles} cycles");
        }
        if let Some(cohort) = self.cohort {
            name += &format!(", encode-once, {:.0} % cohort", 100.0 * cohort);
        }
        if let Some(epsilon) = self.epsilon {
            let draw = cost_of_a_draw(run, run.code_of(victim)).unwrap_or_default();
            name += &format!(", epsilon {epsilon}, {draw} per draw");
        }
        name
    }
}

#[cfg(test)]
mod tests {
    use hashvfl_core::Task;

    use super::*;

    #[test]
    fn words_are_settings() {
        let parties = ["first", "second"].map(|name| PartyName::new(name).unwrap());
        let run = RunSettings::new(parties.to_vec(), Task::Binary, 16, 30);
        let form = |text: &str| {
            let words: Words = text.parse().unwrap();
            (words.form(&run, &parties[0]), words.family(), words.short())
        };
        let (own, family, short) = form("16x4,victim=1x5,noise=0.1");
        assert_eq!(own.run.code_of(&parties[0]), CodeForm::new(1, 5));
        assert!(parties.iter().all(|name| own.noises[name] == 0.1));
        assert_eq!((own.run.code_of(&parties[1]), family), (CodeForm::new(16, 4), Family::Levels));
        assert_eq!(
            (own.name.as_str(), short.as_str()),
            ("1 x 5 beside 16 x 4, noise 0.1", "1x5 beside 16x4")
        );
        let (apart, ..) = form("16x4,victim=1x5,noise=0.4,victim_noise=0.1");
        assert_eq!([&parties[0], &parties[1]].map(|name| apart.noises[name]), [0.1, 0.4]);
        assert_eq!(apart.name, "1 x 5 beside 16 x 4, noise 0.4, own noise 0.1");
        assert_eq!(form("16x1,victim_noise=0.1").0.noises.len(), 1, "others have what their configs say");
        let (once, family, _) = form("16x1,cohort=0.2,batch=64");
        assert!(once.run.encodes_once() && family == Family::EncodeOnce);
        let (short, _, _) = form("16x1,epochs=8,cycles=2");
        assert_eq!((short.run.epochs, short.run.cycles), (8, 2));
        assert_eq!(short.name, "16 signs, 8 epochs, 2 cycles");
        let (response, _, _) = form("16x1,epsilon=2");
        assert_eq!(response.name, "16 signs, epsilon 2, 32 per draw");
        let (floats, family, _) = form("16x1,floats");
        assert_eq!((floats.cut, family), (CutKind::SimulatedFloats, Family::Floats));
        for wrong in ["16", "16x1,colour=2", "16x1,noise=x", "16x1,floats,epsilon=1"] {
            assert!(wrong.parse::<Words>().is_err(), "{wrong}");
        }
    }
}
