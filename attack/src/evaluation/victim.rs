//! The context of attacks on one victim: it, its records, and what every attack on them shares.

use anyhow::Context;
use hashvfl_core::PartyName;
use hashvfl_data::Matrix;
use hashvfl_learning::{Classifier, Encoder};

use crate::config::AttackConfig;
pub use crate::evaluation::context::victims;
use crate::evaluation::context::{AttackContext, AttackOutcome, Start};
use crate::evaluation::score::Scorer;
use crate::evidence::knowledge::{Fact, Sources};
use crate::evidence::observed::Observed;
use crate::evidence::simulation::Simulated;
use crate::evidence::split::Split;
use crate::evidence::{Evidence, PartyData};
use crate::metrics::{Bootstrap, dcs};
use crate::reconstruction::inversion::Matching;
use crate::report::{CutKind, Estimate, Report, UtilityPoint, baseline_of, names};

/// Records among which one is looked for.
pub const CANDIDATES: usize = 1000;
/// Records that the frozen encoder encoded once.
pub const TEST: &str = "test records";
/// Records that were encoded in every epoch.
pub const TRAINING: &str = "training records";
/// Records that encode-once training encoded once.
pub const OUTSIDE: &str = "training records outside the cohort";

/// One cut of one run that can be attacked.
#[derive(Clone)]
pub struct AttackSurface<'a> {
    /// What was seen.
    pub observed: &'a Observed,
    /// The trained encoders, in the order of the parties, where they are those of this cut.
    pub encoders: Vec<&'a Encoder>,
    /// The trained top model, where it is that of this cut.
    pub top: Option<&'a Classifier>,
    /// What left the party.
    pub cut: CutKind,
    /// The defence and its setting.
    pub defence: String,
    /// Bits of one value at this cut.
    pub value_bits: u64,
}

impl<'a> AttackSurface<'a> {
    /// A repetition of `like` with other weights.
    pub fn of(run: &'a Simulated, like: &AttackSurface) -> Self {
        Self {
            observed: &run.observed,
            encoders: run.encoders.iter().collect(),
            top: Some(&run.top),
            cut: like.cut,
            defence: like.defence.clone(),
            value_bits: like.value_bits,
        }
    }
}

/// What was found so far.
#[derive(Default)]
pub struct Findings {
    /// The attacks, in order; baselines before what is compared with them.
    pub attacked: Vec<AttackOutcome>,
}

impl Findings {
    /// Adds one.
    pub fn keep(&mut self, attacked: AttackOutcome) {
        self.attacked.push(attacked);
    }

    /// What each attack gains over its baseline on the same records.
    pub fn put_gains(&self, report: &mut Report, seed: u64) {
        let bootstrap = Bootstrap::new(seed);
        let gain = |attacked: &AttackOutcome| {
            let baseline = report.baseline_of(&attacked.result).filter(|_| attacked.result.releases > 0)?;
            let other = self.attacked.iter().find(|other| other.result == *baseline)?;
            let scored = !attacked.errors.is_empty() && other.errors.len() == attacked.errors.len();
            scored.then(|| bootstrap.skill_gain(&attacked.errors, &other.errors, &attacked.reference))
        };
        let gains: Vec<Option<Estimate>> = self.attacked.iter().map(gain).collect();
        for (result, gain) in report.results.iter_mut().zip(gains) {
            result.metrics.extend(gain.map(|gain| (names::ADDED.to_string(), gain)));
        }
    }
}

/// What stays the same for all attacks on one victim.
pub struct VictimContext<'a> {
    /// The truth and the models.
    pub evidence: &'a Evidence,
    /// What the adversary is granted.
    pub config: &'a AttackConfig,
    /// The place of the victim among the parties.
    pub victim: usize,
    /// The victim's side.
    pub owner: &'a PartyData,
    /// Columns of the coordinator's organisation.
    pub own: Option<&'a Matrix>,
    /// Test records.
    pub frozen: Split,
    /// Training records of the cohort.
    pub trained: Split,
    /// Scores guesses of the former.
    pub frozen_scorer: Scorer,
    /// Scores guesses of the latter.
    pub trained_scorer: Scorer,
    /// The task's metric where parties send floats, once that is known.
    pub undefended: f64,
}

/// Most auxiliary records against a party: networks to hundreds of pixels learn slowly. A report says how many there
/// were; an adversary with more would get more.
pub fn most_auxiliary(owner: &PartyData) -> usize {
    if owner.image.is_some() { 4_000 } else { 12_000 }
}

/// Skill over the mean.
pub fn skill(attacked: &AttackOutcome) -> Estimate {
    attacked.result.metrics[names::SKILL]
}

impl<'a> VictimContext<'a> {
    /// Splits the records and fits the references.
    ///
    /// # Errors
    /// If a name is no party's, or records are too few.
    pub fn new(evidence: &'a Evidence, config: &'a AttackConfig) -> anyhow::Result<Self> {
        let parties = &evidence.coordinator.run.parties;
        let find = |name: &PartyName| {
            let place = parties.iter().position(|party| party == name);
            place.with_context(|| format!("{name} is no party of the run"))
        };
        let victim = find(&config.victim)?;
        let own = config.own.as_ref().map(find).transpose()?.map(|own| &evidence.owners[own].columns);
        let owner = &evidence.owners[victim];
        let frozen = Split::new(evidence.frozen_records(), most_auxiliary(owner), config.seed)
            .context("test records")?;
        let trained = Split::new(evidence.trained_records(), most_auxiliary(owner), config.seed)
            .context("training records")?;
        let scorer = |split: &Split| {
            let rows = (split.auxiliary(config.share()), split.targets.as_slice());
            Scorer::new(&owner.columns, owner.image, &evidence.labels, rows, config.seed)
        };
        let (frozen_scorer, trained_scorer) = (scorer(&frozen), scorer(&trained));
        Ok(Self {
            evidence,
            config,
            victim,
            owner,
            own,
            frozen,
            trained,
            frozen_scorer,
            trained_scorer,
            undefended: f64::NAN,
        })
    }

    /// A cut of records of one kind.
    pub fn attack_context<'b>(
        &'b self,
        attackable: &AttackSurface<'b>,
        (split, scorer, population): (&'b Split, &'b Scorer, &'static str),
        share: f64,
    ) -> AttackContext<'b> {
        AttackContext {
            sources: Sources {
                observed: attackable.observed,
                victim: self.victim,
                labels: &self.evidence.labels,
                own: self.own,
            },
            columns: &self.owner.columns,
            image: self.owner.image,
            population,
            auxiliary: split.auxiliary(share),
            targets: &split.targets,
            scorer,
            cut: attackable.cut,
            defence: attackable.defence.clone(),
            value_bits: attackable.value_bits,
            seed: self.config.seed,
        }
    }

    /// A cut of test records.
    pub fn frozen_context<'b>(&'b self, attackable: &AttackSurface<'b>) -> AttackContext<'b> {
        self.attack_context(attackable, (&self.frozen, &self.frozen_scorer, TEST), self.config.share())
    }

    /// A cut of training records.
    pub fn trained_context<'b>(&'b self, attackable: &AttackSurface<'b>) -> AttackContext<'b> {
        self.attack_context(attackable, (&self.trained, &self.trained_scorer, TRAINING), self.config.share())
    }

    /// Knowledge without codes.
    fn without_codes(&self) -> Vec<Vec<Fact>> {
        let mut sets = vec![vec![], vec![Fact::Label]];
        if self.own.is_some() {
            sets.push(vec![Fact::Label, Fact::OwnColumns]);
        }
        sets
    }

    /// Knowledge with codes.
    fn with_codes(&self) -> Vec<Vec<Fact>> {
        let mut sets = vec![
            vec![Fact::Code],
            vec![Fact::AllCodes],
            vec![Fact::Label, Fact::Code],
            vec![Fact::Label, Fact::AllCodes],
        ];
        if self.own.is_some() {
            sets.push(vec![Fact::Label, Fact::OwnColumns, Fact::Code]);
        }
        sets
    }

    /// What an adversary gets without any code.
    pub fn baselines(&self, attackable: &AttackSurface, findings: &mut Findings) -> anyhow::Result<()> {
        for facts in self.without_codes() {
            findings.keep(self.frozen_context(attackable).conditional_mean(&facts)?);
        }
        Ok(())
    }

    /// Every attack on one code of each test record; returns the knowledge of the strongest conditional mean.
    pub fn attack(&self, attackable: &AttackSurface, findings: &mut Findings) -> anyhow::Result<Vec<Fact>> {
        let attack_context = self.frozen_context(attackable);
        let mut strongest: Option<(f64, Vec<Fact>)> = None;
        for facts in self.with_codes() {
            let attacked = attack_context.conditional_mean(&facts)?;
            if strongest.as_ref().is_none_or(|(most, _)| skill(&attacked).value > *most) {
                strongest = Some((skill(&attacked).value, facts.clone()));
            }
            findings.keep(attacked);
        }
        let mean = self.conditional_mean_of_code(findings, attackable);
        let compared = |mut attacked: AttackOutcome, findings: &mut Findings| {
            if let Some(mean) = mean {
                let gain = attack_context.scorer.gain(&attacked.errors, &findings.attacked[mean].errors);
                attacked.result.metrics.insert("skill over conditional mean's".into(), gain);
            }
            findings.keep(attacked);
        };
        compared(attack_context.inverse_network(&[Fact::Code])?, findings);
        if let (Some(encoder), true) = (attackable.encoders.get(self.victim), self.config.white_box) {
            let ways = match attackable.cut {
                CutKind::Codes => Matching::OF_CODES.to_vec(),
                _ => vec![Matching::Value],
            };
            for matching in ways {
                for start in [Start::Mean, Start::ConditionalMean] {
                    compared(attack_context.white_box(encoder, matching, start)?, findings);
                }
            }
            attack_context.reidentify(encoder)?.into_iter().for_each(|found| findings.keep(found));
        }
        Ok(strongest.map(|(_, facts)| facts).unwrap_or_default())
    }

    fn conditional_mean_of_code(&self, findings: &Findings, attackable: &AttackSurface) -> Option<usize> {
        let of_code = |attacked: &AttackOutcome| {
            let result = &attacked.result;
            result.attack == names::CONDITIONAL_MEAN
                && result.defence == attackable.defence
                && result.releases == 1
                && result.knowledge.is_empty()
        };
        findings.attacked.iter().position(of_code)
    }

    /// What a report calls the victim's records of one kind.
    fn victims(&self, population: &str) -> String {
        victims(self.config.victim.as_str(), population)
    }

    /// A defence beside what it costs: the strongest attack found on it that saw codes of such records.
    pub fn utility(
        &self,
        (defence, setting): (&str, String),
        utility: f64,
        findings: &Findings,
        (attackable, population): (&AttackSurface, &str),
    ) -> UtilityPoint {
        let on_it = findings.attacked.iter().filter(|attacked| {
            attacked.result.defence == attackable.defence
                && attacked.result.victim == self.victims(population)
                && attacked.result.cut == attackable.cut
                && attacked.result.releases > 0
                && attacked.result.metrics.contains_key(names::SKILL)
        });
        let strongest = on_it.max_by(|a, b| skill(a).value.total_cmp(&skill(b).value));
        let none = Estimate { value: 0.0, low: 0.0, high: 0.0 };
        let results = || findings.attacked.iter().map(|attacked| &attacked.result);
        let baseline = strongest.and_then(|strongest| baseline_of(results, &strongest.result));
        let lost = self.undefended - utility;
        let capability = strongest.and_then(|strongest| {
            let mse = strongest.result.metrics.get(names::MSE)?;
            let of = |mse: f64| dcs::defence_capability(1.0 - mse, lost, dcs::BETA);
            Some(Estimate { value: of(mse.value), low: of(mse.low), high: of(mse.high) })
        });
        UtilityPoint {
            defence: defence.to_string(),
            setting,
            utility,
            leakage: strongest.map_or(none, skill),
            baseline: baseline.and_then(|result| result.metrics.get(names::SKILL)).copied().unwrap_or(none),
            dcs: capability,
            strongest: strongest.map_or_else(String::new, |attacked| {
                format!("{} from {}", attacked.result.attack, attacked.result.knowledge.join(", "))
            }),
        }
    }
}
