//! Config files of earlier versions: refused with the new name of a key, and rewritten by `config migrate`.

use std::path::Path;

use hashvfl_attack::AttackConfig;
use hashvfl_coordinator::CoordinatorConfig;
use hashvfl_party::PartyConfig;

use crate::fixture::{Fixture, command};

/// Samples of the docs, as they were before words changed.
const PARTY: &str = include_str!("../before/party.toml");
const COORDINATOR: &str = include_str!("../before/coordinator.toml");
const ATTACK: &str = include_str!("../before/attack.toml");

#[test]
fn samples_of_before_are_refused_and_can_be_migrated() {
    let here = Path::new(".");
    let refused = PartyConfig::parse(PARTY, here).unwrap_err().to_string();
    assert!(
        refused.contains("line 86: encoder.adam.beta1 no longer exists, because every run now uses 0.9: "),
        "{refused}"
    );
    let gone =
        ["beta1 = 0.9\n", "beta2 = 0.999\n", "epsilon = 1e-8\n", "decorrelation = 0.0\n", "medians = true\n"];
    let without = gone.iter().fold(PARTY.to_string(), |text, line| text.replace(line, ""));
    let refused = PartyConfig::parse(&without, here).unwrap_err().to_string();
    assert!(
        refused.contains("run.calibration_share is now run.calibration_fraction: `config migrate"),
        "{refused}"
    );
    let migrated = |text: &str| hashvfl_cli::config::migrate(text).unwrap().0;
    let undecided = hashvfl_cli::config::migrate(COORDINATOR).unwrap_err().to_string();
    assert!(
        undecided.starts_with("detectors.combination no longer exists (a party's detectors"),
        "{undecided}"
    );
    let before = COORDINATOR.replace("combination = \"bonferroni\"\n", "");
    let refused = CoordinatorConfig::parse(&before, here).unwrap_err().to_string();
    assert!(
        refused.contains("\"mismatch\" in detectors.kinds is now \"density-ratio\": `config migrate"),
        "{refused}"
    );
    let refused = AttackConfig::parse(ATTACK, here).unwrap_err().to_string();
    assert!(refused.contains("auxiliary_shares is now auxiliary_fractions"), "{refused}");

    let (party, coordinator) = (migrated(PARTY), migrated(&before));
    let party = PartyConfig::parse(&party, here).unwrap();
    let coordinator = CoordinatorConfig::parse(&coordinator, here).unwrap();
    assert_eq!(party.run.to_settings(), coordinator.run.to_settings());
    assert_eq!((party.timeouts.start_s, coordinator.timeouts.join_s), (3600, 3600));
    assert_eq!(AttackConfig::parse(&migrated(ATTACK), here).unwrap().auxiliary_fractions, [0.01, 0.1, 0.5]);
}

#[test]
fn the_binaries_refuse_and_migrate_a_file() {
    let fixture = Fixture::new();
    for (role, config) in [
        ("party", fixture.party_config("bank", "127.0.0.1:1")),
        ("coordinator", fixture.coordinator_config()),
    ] {
        let before = std::fs::read_to_string(&config).unwrap().replace("timeouts", "wait");
        let before = before.replace("test_fraction", "test_share");
        fixture.write("old.toml", &before);
        let (old, new) = (fixture.path("old.toml"), fixture.path(&format!("new-{role}.toml")));
        let (old, new) = (old.to_str().unwrap(), new.to_str().unwrap());
        let (good, _, errors) = command(&[role, "--check", "--config", old]);
        assert!(
            !good && errors.contains("run.test_share is now run.test_fraction: `config migrate OLD NEW`"),
            "{errors}"
        );
        let (good, out, errors) = command(&[role, "config", "migrate", old, new]);
        assert!(good && out.contains("updated keys or values: 2"), "{out}{errors}");
        assert_eq!(std::fs::read_to_string(new).unwrap(), std::fs::read_to_string(&config).unwrap());
        let (good, _, errors) = command(&[role, "--check", "--config", new]);
        assert!(good, "{errors}");
        let (good, _, errors) = command(&[role, "config", "migrate", old, new]);
        assert!(!good && errors.contains("already exists"), "{errors}");
    }
}
