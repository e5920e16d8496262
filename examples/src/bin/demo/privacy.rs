//! The short form of the privacy story: what the coordinator's transcript gives back of one party's columns.

use std::path::{Path, PathBuf};

use hashvfl_attack::{AttackConfig, Manifest, report};
use hashvfl_coordinator::summary::Summary;
use hashvfl_core::PartyName;
use hashvfl_testbed::processes::Configs;

use crate::files::PARTIES;

/// Attacks the second party's columns, knowing the first one's; the sentences that a reader needs most.
pub fn attack(out: &Path, configs: &Configs, summary: &Summary, seed: u64) -> anyhow::Result<String> {
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
    let found = hashvfl_attack::run(&transcript, &config, &out.join("attacks"), &mut |_| ())?;
    Ok(report::summary(&found).into_iter().map(|statement| statement.lead).collect::<Vec<_>>().join("\n\n"))
}
