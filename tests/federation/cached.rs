//! A party that trains from a cache on its disk learns what it learns from memory, to the bit.

use crate::fixture::{Fixture, PARTIES};

#[test]
fn training_from_disk_is_training_from_memory() {
    let mut fixture = Fixture::new();
    fixture.settings.epochs = 3;
    fixture.run();
    let held = fixture.summary();
    for name in [PARTIES[0], PARTIES[1], "coordinator"] {
        std::fs::remove_dir_all(fixture.path(&format!("{name}-state"))).unwrap();
    }
    fixture.extra.push(("bank", "cache = \"bank.cache\"".into()));
    fixture.run();
    let cached = fixture.summary();
    assert!(fixture.path("bank.cache").exists() && !fixture.path("bank.cache.rows").exists());
    for field in ["encoders_sha256", "test"] {
        assert!(!held[field].is_null());
        assert_eq!(cached[field], held[field], "{field}");
    }
    let loss = |summary: &serde_json::Value| summary["epochs"][0]["train_loss"].as_f64().unwrap();
    assert_eq!(loss(&cached), loss(&held));
}
