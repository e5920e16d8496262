//! How accurate hash codes are beside floats, and how balanced: the accuracy benchmark.
//!
//! ```text
//! args -> benchmark: data set, splits, seeds -> a trial for each -> report
//! ```
//!
//! Float embeddings have no wire type; they exist in this process alone. Recipes are chosen with
//! `--validation-only`; test records are scored once, when a recipe is final.

mod args;
mod recipe;
mod report;
mod trial;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use clap::Parser;
use hashvfl_learning::encoder::CutLayer;
use hashvfl_learning::top::evaluation::Evaluation;
use hashvfl_testbed::dataset::{self, Dataset, Split};

use crate::args::{Benchmark, Cli, How, Overrides};
use crate::recipe::Recipe;
use crate::report::{Entry, print_difference, print_line, print_summary};
use crate::trial::Trial;

/// Bits of every benchmark that does not vary them.
const BITS: usize = 16;

/// Runs to do: a name of the group, its recipes by cut, its splits, and the seeds of each split.
struct Group {
    name: String,
    recipe: fn(CutLayer) -> Recipe,
    bits: usize,
    splits: Vec<Split>,
    seeds: Vec<u64>,
}

impl Group {
    fn new(name: &str, recipe: fn(CutLayer) -> Recipe, splits: Vec<Split>, seeds: Vec<u64>) -> Self {
        Self { name: name.into(), recipe, bits: BITS, splits, seeds }
    }

    /// Its splits; where recipes are chosen, folds of their records without the test.
    fn splits(&self, how: &How) -> Vec<Split> {
        match how.development {
            Some(folds) => self.splits.iter().flat_map(|split| split.development(folds as usize)).collect(),
            None => self.splits.clone(),
        }
    }
}

/// The training seeds, `default` of them if nothing else is asked for.
fn seeds(how: &How, default: u64) -> Vec<u64> {
    (how.first_seed..how.first_seed + how.seeds.unwrap_or(default)).collect()
}

fn main() -> anyhow::Result<()> {
    let Cli { benchmark, how, overrides } = Cli::parse();
    match benchmark {
        Benchmark::CreditDefault { raw, splits } => {
            let load = if raw { dataset::credit_default_raw } else { dataset::credit_default };
            let dataset = load(&how.data)?;
            let records = dataset.records();
            let main = vec![Split::shuffled(0, records)];
            let others = (1..=splits).map(|seed| Split::shuffled(seed, records)).collect();
            let groups = [
                Group::new("main split", Recipe::credit_default, main, seeds(&how, 3)),
                Group::new("further splits", Recipe::credit_default, others, vec![how.first_seed]),
            ];
            run(&dataset, &groups, &how, &overrides)?;
        }
        Benchmark::Vehicle => {
            let dataset = dataset::vehicle(&how.data)?;
            let folds = Split::folds(5, dataset.records());
            let group = Group::new("5 folds", Recipe::vehicle, folds, seeds(&how, 5));
            run(&dataset, &[group], &how, &overrides)?;
        }
        Benchmark::Mnist { bits } => {
            let dataset = dataset::mnist(&how.data)?;
            let split = Split::published(dataset.records(), 10_000);
            let name = format!("{bits} bits");
            let group = Group { bits, ..Group::new(&name, Recipe::mnist, vec![split], seeds(&how, 1)) };
            run(&dataset, &[group], &how, &overrides)?;
        }
        Benchmark::EncodeOnce => {
            let dataset = dataset::credit_default(&how.data)?;
            let splits = vec![Split::shuffled(0, dataset.records())];
            let groups = [
                Group::new("joint", Recipe::credit_default, splits.clone(), seeds(&how, 3)),
                Group::new("encode once", Recipe::encode_once, splits, seeds(&how, 3)),
            ];
            let entries = run(&dataset, &groups, &how, &overrides)?;
            print_difference(&entries, "encode once", "joint");
        }
    }
    Ok(())
}

/// A run to do.
struct Job<'a> {
    group: &'a Group,
    split: &'a Split,
    seed: u64,
    cut: CutLayer,
}

/// The runs that threads do between them.
struct Work<'a> {
    dataset: &'a Dataset,
    jobs: Vec<Job<'a>>,
    how: &'a How,
    overrides: &'a Overrides,
    metric: &'a str,
    /// The next run that no thread has begun.
    next: AtomicUsize,
    /// What came of runs, and their numbers.
    done: Mutex<Vec<(usize, Entry)>>,
}

impl Work<'_> {
    /// Does run after run, until none is left.
    fn until_done(&self) -> anyhow::Result<()> {
        loop {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(Job { group, split, seed, cut }) = self.jobs.get(index) else { return Ok(()) };
            let mut recipe = (group.recipe)(*cut);
            self.overrides.apply(&mut recipe);
            let trial = Trial {
                dataset: self.dataset,
                split,
                recipe: &recipe,
                cut: *cut,
                bits: self.overrides.code.map_or(group.bits, |code| code.bits()),
                seed: *seed,
                validation_only: self.how.validation_only,
                curve: self.how.curve,
            };
            let (group, split) = (group.name.clone(), split.name.clone());
            let entry = Entry { group, split, seed: *seed, cut: *cut, measured: trial.run()? };
            print_line(&entry, self.metric);
            // Unwrap safety: no thread panics while it holds the lock.
            self.done.lock().expect("an unpoisoned lock").push((index, entry));
        }
    }
}

/// Runs all groups, `how.jobs` runs at a time, and prints lines and tables in the order of the groups.
fn run(dataset: &Dataset, groups: &[Group], how: &How, overrides: &Overrides) -> anyhow::Result<Vec<Entry>> {
    let metric = Evaluation::metric_name(dataset.task);
    let splits: Vec<(&Group, Vec<Split>)> = groups.iter().map(|group| (group, group.splits(how))).collect();
    let mut jobs = Vec::new();
    for (group, splits) in &splits {
        for split in splits {
            for seed in &group.seeds {
                let cuts = how.cut.list().into_iter();
                jobs.extend(cuts.map(|cut| Job { group, split, seed: *seed, cut }));
            }
        }
    }
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = Work { dataset, jobs, how, overrides, metric, next, done };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..how.jobs.max(1)).map(|_| scope.spawn(|| work.until_done())).collect();
        // Unwrap safety: a panic of a run goes on as a panic here.
        workers.into_iter().try_for_each(|worker| worker.join().expect("a run without a panic"))
    })?;
    // Unwrap safety: all threads have ended.
    let mut done = work.done.into_inner().expect("an unpoisoned lock");
    done.sort_by_key(|(index, _)| *index);
    let entries: Vec<Entry> = done.into_iter().map(|(_, entry)| entry).collect();
    print_summary(&entries, metric);
    Ok(entries)
}
