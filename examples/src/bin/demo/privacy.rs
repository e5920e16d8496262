//! The short form of the privacy story: what the coordinator's transcript gives back of one party's columns.

use std::path::{Path, PathBuf};

use hashvfl_attack::report::{CutKind, Metric, Report, StrongestAttack, Victim, answers};
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
        quick: true,
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
    let answers: Vec<StrongestAttack> = answers(report)
        .into_iter()
        .filter(|answer| answer.metric == Metric::Skill && answer.best.cut == CutKind::Codes)
        .collect();
    say!("\nVariance of the right halves' pixels that an attacker reconstructs, given half of these images");
    let most = answers.iter().map(|answer| answer.best.releases).max();
    for answer in &answers {
        if answer.best.releases == 1 {
            answer.baseline.iter().for_each(|(_, estimate)| bar("without codes", estimate.value));
            bar("from one code", answer.reached.value);
            answer.floats.iter().for_each(|(_, estimate)| bar("from one float embedding", estimate.value));
        } else if let Victim::Columns { of, .. } = &answer.best.victim
            && Some(answer.best.releases) == most
        {
            bar(&format!("from all {} codes of {of}", answer.best.releases), answer.reached.value);
        }
    }
    say!("These are quick attacks: `attack run` without `quick` tries stronger ones.");
}
