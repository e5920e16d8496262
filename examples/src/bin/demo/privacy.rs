//! The short form of the privacy story: what the coordinator's transcript gives back of one party's columns.

use std::path::{Path, PathBuf};

use hashvfl_attack::report::{Answer, CutKind, Metric, Report, answers};
use hashvfl_attack::{AttackConfig, Manifest};
use hashvfl_coordinator::summary::Summary;
use hashvfl_core::PartyName;
use hashvfl_files::say;
use hashvfl_testbed::processes::Configs;

use crate::files::PARTIES;
use crate::report::bar;

/// Attacks the second party's columns, knowing the first one's.
pub fn attack(out: &Path, configs: &Configs, summary: &Summary, seed: u64) -> anyhow::Result<Report> {
    let parties: Vec<PathBuf> = configs.parties.iter().map(|(_, config)| config.clone()).collect();
    let manifest = out.join("manifest.toml");
    Manifest::of(&configs.coordinator, &parties)?.write(&manifest)?;
    let [own, victim] = PARTIES;
    let config = AttackConfig {
        own: Some(PartyName::new(own)?),
        auxiliary_fractions: vec![0.5],
        white_box: false,
        head: summary.transcript_head.clone(),
        seed,
        ..AttackConfig::new(manifest, PartyName::new(victim)?)
    };
    let transcript = out.join("coordinator/state/transcript.parquet");
    hashvfl_attack::run(&transcript, &config, &out.join("attacks"), &mut |_| ())
}

/// Prints how much of the pixels' variance the strongest attack explains, beside the same attacker without codes and
/// beside one who was sent floats.
pub fn print(report: &Report) {
    let on_codes = |answer: &Answer| answer.metric == Metric::Skill && answer.best.cut == CutKind::Codes;
    say!("\nAn attacker who knows half of the right halves gets back of the others");
    for answer in answers(report).iter().filter(|answer| on_codes(answer)) {
        let floats = answer.floats.map(|(_, floats)| floats);
        let baseline = answer.baseline.map(|(_, baseline)| baseline);
        if answer.best.releases == 1 {
            baseline.into_iter().for_each(|estimate| bar("without any code", estimate.value));
            floats.into_iter().for_each(|estimate| bar("from one vector of floats", estimate.value));
        }
        bar(&format!("from {}", answer.seen()), answer.reached.value);
    }
}
