//! Six seeded runs whose weights, codes, transcripts and messages are those that reference/ has on record: what must not
//! change when code moves. To record anew what is meant to change: `HASHVFL_RECORD=1` with these tests.
//!
//! Sums of floats have another order on processors of other vector width, so a record holds for one width. There are records
//! for AVX-512 alone: elsewhere nothing is compared.

use std::collections::BTreeMap;
use std::path::PathBuf;

use hashvfl_core::{Digest, StoredCodes, Task};
use hashvfl_transcript::Recording;

use crate::aligned;
use crate::fixture::{Fixture, PARTIES, RECORDS, Role, command};
use crate::predict::{ids, predict};
use crate::recorder::Recorder;

/// What a run must reproduce: a name and a digest each.
type Digests = BTreeMap<String, Digest>;

/// The processor's vector width, as far as it decides in which order floats are added.
fn processor() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            return "x86_64-avx512";
        }
        if is_x86_feature_detected!("avx2") {
            return "x86_64-avx2";
        }
    }
    "other"
}

/// Compares with the record, or writes it.
fn check(run: &str, digests: &Digests) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("federation/reference");
    let file = folder.join(format!("{run}-{}.txt", processor()));
    let text: String = digests.iter().map(|(name, digest)| format!("{digest} {name}\n")).collect();
    if std::env::var_os("HASHVFL_RECORD").is_some() {
        std::fs::write(&file, &text).unwrap();
        return;
    }
    match std::fs::read_to_string(&file) {
        Ok(recorded) => assert_eq!(text, recorded, "{run}: not what {} has on record", file.display()),
        Err(_) => {
            println!("no record of {run} for {}", processor());
            assert_ne!(processor(), "x86_64-avx512", "{} is gone", file.display());
        }
    }
}

/// The part of a file of tensors that follows its header: the weights.
pub fn weights(fixture: &Fixture, file: &str) -> Digest {
    let bytes = std::fs::read(fixture.path(file)).unwrap();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap());
    Digest::of(&bytes[8 + header as usize..])
}

fn transcript(fixture: &Fixture, side: &str) -> Digest {
    let path = fixture.path(&format!("{side}-state/transcript.parquet"));
    let mut bytes = Vec::new();
    for step in Recording::read(&path, None).unwrap().steps {
        bytes.extend(step.step.to_le_bytes());
        step.records.iter().for_each(|record| bytes.extend(record.to_le_bytes()));
        for (party, values) in &step.values {
            bytes.extend(party.as_bytes());
            bytes.extend(values);
        }
    }
    Digest::of(&bytes)
}

fn codes(fixture: &Fixture, party: &str) -> Digest {
    let (config, out) = (fixture.path(&format!("{party}.toml")), fixture.path(&format!("{party}.codes")));
    let (config, path) = (config.to_str().unwrap(), out.to_str().unwrap());
    let (good, _, errors) = command(&["party", "encode", "--config", config, "--out", path]);
    assert!(good, "{errors}");
    let stored = StoredCodes::from_bytes(&std::fs::read(&out).unwrap()).unwrap();
    Digest::of(&stored.table.to_bytes())
}

/// A fixture that keeps transcripts on all sides, and no audit trail: heads of one would travel, which hold the time.
fn recorded(mut fixture: Fixture) -> Fixture {
    for side in [PARTIES[0], PARTIES[1], "coordinator"] {
        fixture.extra.push((side, "transcript = true".into()));
        fixture.extra.push((side, "audit = { enabled = false }".into()));
    }
    fixture
}

/// Runs a federation with a recorder in front of each party; `columns` changes a party's config.
fn run_with(fixture: &Fixture, columns: impl Fn(String) -> String) -> Digests {
    let (mut coordinator, address) = fixture.coordinator();
    let recorders = PARTIES.map(|_| Recorder::training(&address));
    let mut parties: Vec<Role> = PARTIES
        .iter()
        .zip(&recorders)
        .map(|(name, recorder)| {
            let config = fixture.party_config(name, &recorder.address);
            fixture.write(&format!("{name}.toml"), &columns(fixture.read(&format!("{name}.toml"))));
            Role::start(&["party", "--config"], &config, fixture.log)
        })
        .collect();
    coordinator.succeeds();
    parties.iter_mut().for_each(Role::succeeds);
    let mut digests = Digests::new();
    let mut note = |name: String, digest: Digest| assert!(digests.insert(name, digest).is_none());
    note("coordinator weights".into(), weights(fixture, "coordinator-state/top.safetensors"));
    note("coordinator transcript".into(), transcript(fixture, "coordinator"));
    for (name, recorder) in PARTIES.iter().zip(&recorders) {
        note(format!("{name} weights"), weights(fixture, &format!("{name}-state/bottom.safetensors")));
        note(format!("{name} transcript"), transcript(fixture, name));
        note(format!("{name} codes"), codes(fixture, name));
        // What a party receives holds a session key that is drawn at random.
        let [sent, _] = recorder.digests();
        note(format!("{name} bytes sent"), sent);
    }
    digests
}

fn run(fixture: &Fixture) -> Digests {
    run_with(fixture, |config| config)
}

#[test]
fn mlp() {
    check("mlp", &run(&recorded(Fixture::new())));
}

#[test]
fn cnn() {
    let mut fixture = recorded(Fixture::new());
    let model = "encoder = { model = { kind = \"cnn\", channels = [4], pool = false } }";
    PARTIES.iter().for_each(|name| fixture.extra.push((name, model.into())));
    let image = |config: String| {
        config.replace("id = \"id\" }", "id = \"id\", image = { channels = 1, height = 1, width = 3 } }")
    };
    check("cnn", &run_with(&fixture, image));
}

#[test]
fn encode_once() {
    let mut fixture = recorded(Fixture::new());
    fixture.settings.cohort_fraction = 0.5;
    check("encode-once", &run(&fixture));
}

#[test]
fn regression() {
    let mut fixture = recorded(Fixture::new());
    fixture.settings.task = Task::Regression;
    check("regression", &run(&fixture));
}

#[test]
fn aligned() {
    let mut fixture = recorded(aligned::unordered(1));
    aligned::align(&mut fixture);
    check("aligned", &run(&fixture));
}

#[test]
fn served() {
    let fixture = recorded(Fixture::new());
    fixture.run();
    let (coordinator, address) = fixture.serve();
    let recorders = PARTIES.map(|_| Recorder::serving(&address));
    let mut parties = Vec::new();
    for (name, recorder) in PARTIES.iter().zip(&recorders) {
        parties.push(fixture.party_serves(name, &recorder.address));
        coordinator.wait_for(&format!("\"joined\",\"party\":\"{name}\""));
    }
    let (rows, errors) = predict(&fixture, &address, &ids(0..RECORDS));
    assert!(errors.is_empty(), "{errors}");
    let mut digests = Digests::new();
    let predicted: String =
        rows.iter().map(|row| format!("{} {} {}\n", row.id, row.outcome, row.probability)).collect();
    digests.insert("predictions".into(), Digest::of(predicted.as_bytes()));
    for (name, recorder) in PARTIES.iter().zip(&recorders) {
        let [sent, received] = recorder.digests();
        digests.insert(format!("{name} bytes sent"), sent);
        digests.insert(format!("{name} bytes received"), received);
    }
    check("served", &digests);
}
