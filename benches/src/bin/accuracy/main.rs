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

fn main() -> anyhow::Result<()> {
    let Cli { benchmark, how, overrides } = Cli::parse();
    let seeds = |default: u64| (how.first_seed..how.first_seed + how.seeds.unwrap_or(default)).collect();
    let group =
        |name: &str, recipe, splits, seeds| Group { name: name.into(), recipe, bits: BITS, splits, seeds };
    match benchmark {
        Benchmark::CreditDefault { raw, splits } => {
            let load = if raw { dataset::credit_default_raw } else { dataset::credit_default };
            let dataset = load(&how.data)?;
            let records = dataset.records();
            let split = |seed| Split::shuffled(seed, records);
            let other_splits = (1..=splits).map(split).collect();
            let groups = [
                group("main split", Recipe::credit_default, vec![split(0)], seeds(3)),
                group("further splits", Recipe::credit_default, other_splits, vec![how.first_seed]),
            ];
            run(&dataset, &groups, &how, &overrides)?;
        }
        Benchmark::Vehicle => {
            let dataset = dataset::vehicle(&how.data)?;
            let folds = Split::folds(5, dataset.records());
            run(&dataset, &[group("5 folds", Recipe::vehicle, folds, seeds(5))], &how, &overrides)?;
        }
        Benchmark::Mnist { bits } => {
            let dataset = dataset::mnist(&how.data)?;
            let split = Split::published(dataset.records(), 10_000);
            let name = format!("{bits} bits");
            let group = Group { bits, ..group(&name, Recipe::mnist, vec![split], seeds(1)) };
            run(&dataset, &[group], &how, &overrides)?;
        }
        Benchmark::EncodeOnce => {
            let dataset = dataset::credit_default(&how.data)?;
            let split = || vec![Split::shuffled(0, dataset.records())];
            let groups = [
                group("joint", Recipe::credit_default, split(), seeds(3)),
                group("encode once", Recipe::encode_once, split(), seeds(3)),
            ];
            let entries = run(&dataset, &groups, &how, &overrides)?;
            print_difference(&entries, "encode once", "joint");
        }
    }
    Ok(())
}

/// Runs all groups, `how.jobs` runs at a time, and prints lines and tables in the order of the groups.
fn run(dataset: &Dataset, groups: &[Group], how: &How, overrides: &Overrides) -> anyhow::Result<Vec<Entry>> {
    let metric = Evaluation::metric_name(dataset.task);
    let mut jobs: Vec<(&Group, &Split, u64, CutLayer)> = Vec::new();
    let splits = |group: &Group| match how.development {
        Some(folds) => group.splits.iter().flat_map(|split| split.development(folds as usize)).collect(),
        None => group.splits.clone(),
    };
    let splits: Vec<(&Group, Vec<Split>)> = groups.iter().map(|group| (group, splits(group))).collect();
    for (group, splits) in &splits {
        for split in splits {
            for seed in &group.seeds {
                jobs.extend(how.cut.list().into_iter().map(|cut| (*group, split, *seed, cut)));
            }
        }
    }
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || -> anyhow::Result<()> {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some((group, split, seed, cut)) = jobs.get(index) else { return Ok(()) };
            let mut recipe = (group.recipe)(*cut);
            overrides.apply(&mut recipe);
            let trial = Trial {
                dataset,
                split,
                recipe: &recipe,
                cut: *cut,
                bits: overrides.code.map_or(group.bits, |code| code.bits()),
                seed: *seed,
                validation_only: how.validation_only,
                curve: how.curve,
            };
            let (group, split) = (group.name.clone(), split.name.clone());
            let entry = Entry { group, split, seed: *seed, cut: *cut, measured: trial.run()? };
            print_line(&entry, metric);
            // Unwrap safety: no thread panics while it holds the lock.
            done.lock().expect("an unpoisoned lock").push((index, entry));
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..how.jobs.max(1)).map(|_| scope.spawn(work)).collect();
        // Unwrap safety: a panic of a run goes on as a panic here.
        workers.into_iter().try_for_each(|worker| worker.join().expect("a run without a panic"))
    })?;
    // Unwrap safety: all threads have ended.
    let mut done = done.into_inner().expect("an unpoisoned lock");
    done.sort_by_key(|(index, _)| *index);
    let entries: Vec<Entry> = done.into_iter().map(|(_, entry)| entry).collect();
    print_summary(&entries, metric);
    Ok(entries)
}
