//! A model of which one bit has changed on disk is not used, by whatever command.

use std::fs;

use crate::fixture::{Fixture, command};

/// Flips the bit of the exponent that changes the first weight the most; the first again puts it back.
fn flip(fixture: &Fixture, model: &str) {
    let path = fixture.path(model);
    let mut bytes = fs::read(&path).unwrap();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    bytes[8 + header + 3] ^= 0x40;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_model_with_a_flipped_bit_is_refused_by_every_command() {
    let fixture = Fixture::new();
    fixture.run();
    let path = |name: &str| fixture.path(name).display().to_string();
    let (coordinator, bank) = (path("coordinator.toml"), path("bank.toml"));
    let (codes, again) = (path("bank.codes"), path("again.safetensors"));
    let refused = |arguments: &[&str], model: &str| {
        let (good, out, errors) = command(arguments);
        let lines: Vec<&str> = errors.lines().filter(|line| line.starts_with("error: ")).collect();
        assert!(!good && out.is_empty() && lines.len() == 1, "{arguments:?}: {out}{errors}");
        assert!(lines[0].contains(model) && lines[0].contains("is damaged"), "{arguments:?}: {errors}");
        assert!(lines[0].contains("restore it from a backup, or train again"), "{arguments:?}: {errors}");
    };

    let evaluate = ["coordinator", "evaluate", "--config", &coordinator];
    let (good, tested, errors) = command(&evaluate);
    assert!(good, "{errors}");
    let top = "coordinator-state/top.safetensors";
    flip(&fixture, top);
    refused(&evaluate, top);
    refused(&["coordinator", "serve", "--config", &coordinator], top);
    refused(&["coordinator", "retrain", "--config", &coordinator, "--out", &again], top);
    flip(&fixture, top);
    assert_eq!(command(&evaluate).1, tested, "nothing but that bit was in the way");

    let bottom = "bank-state/bottom.safetensors";
    flip(&fixture, bottom);
    refused(&["party", "serve", "--config", &bank], bottom);
    refused(&["party", "encode", "--config", &bank, "--part", "test", "--out", &codes], bottom);
    assert!(!fixture.path("bank.codes").exists() && !fixture.path("again.safetensors").exists());
}
