//! Does a party notice that its gradients are a hijacker's, and never that of an honest coordinator?
//!
//! Runs under the gradient monitor of `hashvfl_core::gradient_monitor`, honest and hijacked, recipes drawn by seeds. Its constants were
//! chosen on four data sets and two hijackers; the figures are of three other data sets and of other hijackers too.

mod dataset;
mod hijacker;
mod recipe;
mod run;
mod sender;
mod trial;

use std::ops::ControlFlow;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use hashvfl_core::Plan;
use hashvfl_core::gradient_monitor::Alarm;
use hashvfl_core::settings::Schedule;

use crate::dataset::{Dataset, Name};
use crate::recipe::Recipe;
use crate::run::run;
use crate::sender::{LABELLED, Mixture, STEERERS, Sender, TUNED, contrastive, hijackers, labelled};
use crate::trial::{Tally, alarm, trace};
use hashvfl_files::say;

/// One part of the figures.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Part {
    /// False alarms of honest runs.
    Honest,
    /// The same of runs with anything that a config allows, on tables of any imbalance.
    Any,
    /// Alarms of the victim in such runs, if they are hijacked.
    AnyHijacked,
    /// Alarms of hijacked runs.
    Hijacked,
    /// Alarms where a hijacker mixes in something else.
    Adaptive,
    /// Alarms where a coordinator steers towards each record's own earlier codes, with honest gradient mixed in.
    Contrastive,
    /// What a hijacker's decoder reads.
    Gains,
    /// The shares that the gradient monitor adds up, step by step, from which its constants are chosen, and
    /// the scores of earlier codes: `set,seed,sender,party,step,share,score`.
    Traces,
}

/// Runs hijacked and honest federations with a gradient monitor at each party, and prints how many raise an alarm.
#[derive(Debug, Parser)]
#[command(name = "hijack", version)]
struct Arguments {
    /// Folder with `credit-default/`, `mnist/` and `kdd99/`.
    #[arg(long, value_name = "FOLDER")]
    data: PathBuf,
    /// The data sets; without it those that the gradient monitor was not tuned on.
    #[arg(long, value_enum, value_delimiter = ',')]
    sets: Vec<Name>,
    /// What to measure.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "honest,hijacked,adaptive,gains")]
    parts: Vec<Part>,
    /// Honest runs, over all data sets.
    #[arg(long, default_value_t = 100)]
    honest: u64,
    /// Steps of an honest run.
    #[arg(long, default_value_t = 500)]
    honest_steps: u32,
    /// Runs of each hijacker on each data set.
    #[arg(long, default_value_t = 10)]
    runs: u64,
    /// Steps within which a hijacker must be noticed.
    #[arg(long, default_value_t = 100)]
    steps: u32,
    /// Steps within which a coordinator must be noticed that steers towards own earlier codes.
    #[arg(long, default_value_t = 300)]
    steer_steps: u32,
    /// Steps of the runs that show what a hijacker gets.
    #[arg(long, default_value_t = 1000)]
    gain_steps: u32,
    /// First seed of recipes, models and hijackers.
    #[arg(long, default_value_t = 1000)]
    seed: u64,
    /// Recipes draw levels, too: latents of 1, 2 or 4 bits, and short codes of the victim's own. Without it codes are signs.
    #[arg(long)]
    levels: bool,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    hashvfl_learning::threads::limit(1);
    let names = if arguments.sets.is_empty() { Name::UNSEEN.to_vec() } else { arguments.sets.clone() };
    let sets = names.iter().map(|name| Dataset::load(*name, &arguments.data));
    let experiment = Experiment { sets: sets.collect::<anyhow::Result<Vec<_>>>()?, arguments };
    for part in &experiment.arguments.parts {
        match part {
            Part::Honest => experiment.honest()?,
            Part::Any => experiment.any()?,
            Part::AnyHijacked => experiment.any_hijacked()?,
            Part::Hijacked => experiment.hijacked()?,
            Part::Adaptive => experiment.adaptive()?,
            Part::Contrastive => experiment.contrastive()?,
            Part::Gains => experiment.gains()?,
            Part::Traces => experiment.traces()?,
        }
    }
    Ok(())
}

struct Experiment {
    sets: Vec<Dataset>,
    arguments: Arguments,
}

impl Experiment {
    /// The recipe that `seed` draws for `set`.
    fn recipe(&self, set: &Dataset, seed: u64) -> anyhow::Result<Recipe> {
        let recipe = Recipe::draw(set, seed)?;
        Ok(if self.arguments.levels { recipe.with_levels(set, seed) } else { recipe })
    }

    fn honest(&self) -> anyhow::Result<()> {
        say!("False alarms of honest runs, of any party, within {} steps", self.arguments.honest_steps);
        let mut all = Tally::default();
        for (place, set) in self.sets.iter().enumerate() {
            let mut tally = Tally::default();
            let seeds = (0..self.arguments.honest).filter(|run| run % self.sets.len() as u64 == place as u64);
            for seed in seeds.map(|run| self.arguments.seed + run) {
                let recipe = self.recipe(set, seed)?;
                let raised = alarm(set, &recipe, &Sender::Honest, self.arguments.honest_steps)?;
                tally.add(raised);
                all.add(raised);
            }
            say!("  {:<18} {tally}", format!("{:?}", set.name));
        }
        say!("  {:<18} {all}", "all");
        Ok(())
    }

    /// Honest runs of any config, each with an alarm named by its recipe.
    fn any(&self) -> anyhow::Result<()> {
        let steps = self.arguments.honest_steps;
        say!("False alarms of honest runs of any config, of any party, within {steps} steps");
        let mut all = Tally::default();
        for set in &self.sets {
            let mut tally = Tally::default();
            for run in 0..self.arguments.honest / self.sets.len() as u64 {
                let any = AnyRun::draw(set, &self.arguments, run)?;
                let raised = alarm(&any.table, &any.recipe, &Sender::Honest, steps)?;
                if let Some(Alarm { steps, cause, .. }) = raised {
                    say!("    {:?}, step {steps}, {cause:?}: {any}", set.name);
                }
                tally.add(raised);
                all.add(raised);
            }
            say!("  {:<18} {tally}", format!("{:?}", set.name));
        }
        say!("  {:<18} {all}", "all");
        Ok(())
    }

    /// Hijacked runs of any config, each without an alarm named by its recipe.
    fn any_hijacked(&self) -> anyhow::Result<()> {
        let steps = self.arguments.steps;
        say!("Alarms of the victim in hijacked runs of any config, within {steps} steps");
        let mut all = Tally::default();
        for (name, _) in hijackers(0) {
            let mut tally = Tally::default();
            for set in &self.sets {
                for run in 0..self.arguments.runs {
                    let any = AnyRun::draw(set, &self.arguments, run)?;
                    let sender = hijacker(name, any.seed, Mixture::NONE);
                    let raised = alarm(&any.table, &any.recipe, &sender, steps)?;
                    if raised.is_none() {
                        say!("    {:?}, {name}, no alarm: {any}", set.name);
                    }
                    tally.add(raised);
                    all.add(raised);
                }
            }
            say!("  {name:<18} {tally}");
        }
        say!("  {:<18} {all}", "all");
        Ok(())
    }

    fn hijacked(&self) -> anyhow::Result<()> {
        say!("Alarms of the victim within {} steps", self.arguments.steps);
        let names = hijackers(0).into_iter().map(|(name, _)| name);
        let (mut unseen, mut tuned) = (Tally::default(), Tally::default());
        for name in names {
            let sender = |seed| hijacker(name, seed, Mixture::NONE);
            let total = if TUNED.contains(&name) { &mut tuned } else { &mut unseen };
            self.row(name, &sender, total)?;
        }
        say!("  {:<18} {tuned}", "seen in tuning");
        say!("  {:<18} {unseen}", "unseen in tuning");
        for name in LABELLED {
            for honest in [0.0, 0.5] {
                let called = format!("{name}, {honest} honest");
                let mixture = Mixture::PerRow(honest);
                self.row(&called, &|seed| hijacker(name, seed, mixture), &mut Tally::default())?;
            }
        }
        let mut total = Tally::default();
        self.row("constant", &|_| Sender::Constant, &mut total)?;
        self.row("noise", &|_| Sender::Noise, &mut total)
    }

    fn adaptive(&self) -> anyhow::Result<()> {
        say!("The same, with a fraction of something else mixed in by the hijacker");
        type Mix = fn(f32) -> Mixture;
        let ways: [(&str, Mix); 3] = [
            ("honest, per row", Mixture::PerRow),
            ("honest, records", Mixture::Records),
            ("noise", Mixture::Noise),
        ];
        for (way, mixture) in ways {
            for share in [0.2, 0.3, 0.4, 0.5, 0.6, 0.8] {
                let mut total = Tally::default();
                for name in TUNED {
                    self.tally(&|seed| hijacker(name, seed, mixture(share)), ADAPTIVE_RUNS, &mut total)?;
                }
                say!("  {:<18} {total}", format!("{way} {share}"));
            }
        }
        Ok(())
    }

    fn contrastive(&self) -> anyhow::Result<()> {
        let Arguments { steer_steps, seed, runs, .. } = self.arguments;
        say!(
            "Alarms of the victim within {steer_steps} steps after the first pull towards own earlier codes of each record"
        );
        let mut all = Tally::default();
        for (way, (name, ..)) in STEERERS.into_iter().enumerate() {
            let mut of_way = Tally::default();
            for honest in HONEST_SHARES {
                let mut tally = Tally::default();
                for set in &self.sets {
                    for seed in seed..seed + runs {
                        let raised = self.steered(set, seed, &contrastive(way, seed, honest))?;
                        tally.add(raised);
                        of_way.add(raised);
                        all.add(raised);
                    }
                }
                say!("  {name:<26} {:<12} {tally}", format!("honest {honest}"));
            }
            say!("  {name:<26} {:<12} {of_way}", "all");
        }
        say!("  {:<39} {all}", "all");
        Ok(())
    }

    /// The alarm of a run under a coordinator that steers, with steps counted from the first pull; a run without one is named.
    fn steered(&self, set: &Dataset, seed: u64, sender: &Sender) -> anyhow::Result<Option<Alarm>> {
        let recipe = self.recipe(set, seed)?;
        let before = sender.begins() * Plan::new(&recipe.settings, set.columns(0).rows())?.batches();
        let raised = alarm(set, &recipe, sender, before + self.arguments.steer_steps)?;
        let raised = raised.filter(|alarm| alarm.steps > before);
        if raised.is_none() {
            say!("    {:?}, seed {seed}, no alarm: {sender:?}, {}", set.name, recipe.describe());
        }
        Ok(raised.map(|alarm| Alarm { steps: alarm.steps - before, ..alarm }))
    }

    /// What the decoder reads: with nothing mixed in, with a part, and of an honest run.
    fn gains(&self) -> anyhow::Result<()> {
        let long = self.arguments.gain_steps;
        say!(
            "Skill of the hijacker's decoder against the mean, on training records (recipe's peak rate, {RUNS} seeds)"
        );
        let short = 25;
        let cases = [
            ("hijacked", Mixture::NONE, long),
            ("until an alarm", Mixture::NONE, short),
            ("0.6 honest per row", Mixture::PerRow(0.6), long),
            ("0.6 noise", Mixture::Noise(0.6), long),
            ("honest run", Mixture::PerRow(1.0), long),
        ];
        for set in &self.sets {
            for (case, mixture, steps) in cases {
                let mut line = format!("  {:<14} {case:<18} {steps:>5} steps:", format!("{:?}", set.name));
                for name in TUNED.into_iter().chain(LABELLED) {
                    let (mut skills, mut own) = (Vec::new(), 0.0);
                    for seed in self.arguments.seed..self.arguments.seed + RUNS {
                        let mut recipe = self.recipe(set, seed)?;
                        recipe.settings.epochs = 1000;
                        recipe.settings.schedule = Schedule::Constant;
                        let sender = hijacker(name, seed, mixture);
                        let go_on = &mut |_: run::BatchView| ControlFlow::Continue(());
                        if let Some([skill, of_pilot]) = run(set, &recipe, &sender, steps, go_on)? {
                            skills.push(skill);
                            own += of_pilot / RUNS as f64;
                        }
                    }
                    skills.sort_unstable_by(f64::total_cmp);
                    let median = skills[skills.len() / 2];
                    let best = skills[skills.len() - 1];
                    line += &format!(
                        "  {name} {median:>6.3} (best {best:>6.3}, from its pilot's codes {own:>5.3})"
                    );
                }
                say!("{line}");
            }
        }
        Ok(())
    }

    fn traces(&self) -> anyhow::Result<()> {
        let Arguments { seed, honest, runs, steps, honest_steps, .. } = self.arguments;
        say!("set,seed,sender,party,step,share,score");
        for set in &self.sets {
            let show = |name: &str, seed: u64, sender: &Sender, steps| -> anyhow::Result<()> {
                let trace = trace(set, &self.recipe(set, seed)?, sender, steps)?;
                trace.lines().for_each(|line| say!("{:?},{seed},{name},{line}", set.name));
                Ok(())
            };
            for seed in seed..seed + honest / self.sets.len() as u64 {
                show("honest", seed, &Sender::Honest, honest_steps)?;
            }
            for (name, seed) in
                TUNED.iter().flat_map(|name| (seed..seed + runs).map(move |seed| (name, seed)))
            {
                show(name, seed, &hijacker(name, seed, Mixture::NONE), steps)?;
            }
        }
        Ok(())
    }

    fn row(&self, name: &str, sender: &dyn Fn(u64) -> Sender, total: &mut Tally) -> anyhow::Result<()> {
        let mut tally = Tally::default();
        self.tally(sender, self.arguments.runs, &mut tally)?;
        say!("  {name:<18} {tally}");
        total.runs += tally.runs;
        total.steps.extend(tally.steps);
        total.steps.sort_unstable();
        Ok(())
    }

    fn tally(&self, sender: &dyn Fn(u64) -> Sender, runs: u64, tally: &mut Tally) -> anyhow::Result<()> {
        for set in &self.sets {
            for seed in self.arguments.seed..self.arguments.seed + runs {
                let recipe = self.recipe(set, seed)?;
                tally.add(alarm(set, &recipe, &sender(seed), self.arguments.steps)?);
            }
        }
        Ok(())
    }
}

/// Records of other classes for each of the rarest, run by run.
const RATIOS: [usize; 5] = [1, 3, 10, 30, 100];
/// A run of any config on a table of some imbalance.
struct AnyRun {
    seed: u64,
    /// Records of other classes for each of the rarest, at least.
    ratio: usize,
    table: Dataset,
    recipe: Recipe,
}

impl AnyRun {
    /// Number `run` on the records of `set`, drawn by the first seed and it.
    fn draw(set: &Dataset, arguments: &Arguments, run: u64) -> anyhow::Result<Self> {
        let (seed, ratio) = (arguments.seed + run, RATIOS[run as usize % RATIOS.len()]);
        let table = set.unbalanced(ratio, seed)?;
        let any = Recipe::draw_any(&table, seed)?;
        let recipe = if arguments.levels { any.with_levels(&table, seed) } else { any };
        Ok(Self { seed, ratio, table, recipe })
    }
}

impl std::fmt::Display for AnyRun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "seed {}, 1:{}, {}", self.seed, self.ratio, self.recipe.describe())
    }
}

/// Shares of honest gradient in what a coordinator sends that steers towards own earlier codes.
const HONEST_SHARES: [f32; 5] = [0.0, 0.3, 0.5, 0.7, 0.8];
/// Runs of each hijacker, data set and mixture.
const ADAPTIVE_RUNS: u64 = 4;
/// Seeds over which the decoder's skill is told.
const RUNS: u64 = 3;

fn hijacker(name: &str, seed: u64, mixture: Mixture) -> Sender {
    if LABELLED.contains(&name) {
        return labelled(name, seed, mixture);
    }
    let found = hijackers(seed).into_iter().find(|(other, _)| *other == name);
    // Unwrap safety: names come from the same list.
    Sender::Hijacker { config: found.expect("a hijacker of the list").1, mixture }
}
