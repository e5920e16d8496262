//! A record that is erased is gone from codes and transcripts, and its total stays in the ledger.

use hashvfl_transcript::Recording;

use crate::fixture::{Fixture, command};

#[test]
fn nothing_is_erased_beside_a_coordinator_that_serves() {
    let fixture = Fixture::new();
    fixture.run();
    fixture.write("ids.txt", "r3\n");
    let [config, ids] = ["coordinator.toml", "ids.txt"].map(|name| fixture.path(name).display().to_string());
    let erase = ["coordinator", "erase", "--config", &config, "--ids", &ids];
    let (good, said, errors) = command(&erase[..4]);
    assert!(good && said.contains("nothing to erase: pass --ids FILE"), "{said}{errors}");
    let (mut coordinator, _) = fixture.serve();
    // It would write what it has in memory once more.
    let (good, _, errors) = command(&erase);
    assert!(!good && errors.contains("another process works in "), "{errors}");
    assert!(
        !fixture.path("label-ledger.audit/receipts").exists(),
        "nothing was erased, and nothing is signed"
    );
    coordinator.terminate();
    coordinator.succeeds();
    let (good, out, errors) = command(&erase);
    assert!(good && out.contains("the receipt is "), "{out}{errors}");
}

#[test]
fn an_erased_record_is_gone_and_its_total_stays() {
    let mut fixture = Fixture::new();
    fixture.extra.push(("coordinator", "transcript = true".into()));
    fixture.extra.push(("bank", "transcript = true".into()));
    fixture.run();
    let coordinator = fixture.path("coordinator.toml");
    let (coordinator, list) = (coordinator.to_str().unwrap(), fixture.path("ids.txt"));
    let list = list.to_str().unwrap();
    let tested = || {
        let (good, out, errors) = command(&["coordinator", "evaluate", "--config", coordinator]);
        assert!(good, "{errors}");
        (serde_json::from_str::<serde_json::Value>(&out).unwrap()["rows"].clone(), errors)
    };
    let ledger = fixture.path("bank-ledger.redb");
    let total = || command(&["party", "ledger", "show", "--ledger", ledger.to_str().unwrap()]).1;
    let (before, charged) = (tested().0, total());

    fixture.write("ids.txt", "r0\nnobody\n");
    let (good, _, errors) = command(&["coordinator", "erase", "--config", coordinator, "--ids", list]);
    assert!(!good && errors.contains("ids.txt, line 2") && !errors.contains("nobody"), "{errors}");
    // A request that names nobody is answered with no receipt.
    fixture.write("ids.txt", "\u{feff}\n\n");
    let party = fixture.path("bank.toml").display().to_string();
    for (role, config) in [("coordinator", coordinator), ("party", party.as_str())] {
        let (good, _, errors) = command(&[role, "erase", "--config", config, "--ids", list]);
        assert!(!good && errors.contains("ids.txt holds no ids"), "{errors}");
    }
    let ids: Vec<String> = (0..200).map(|record| format!("r{record}")).collect();
    fixture.write("ids.txt", &ids.join("\n"));
    let (good, out, errors) = command(&["coordinator", "erase", "--config", coordinator, "--ids", list]);
    assert!(good && out.contains("200 records"), "{out}{errors}");
    let bank = fixture.path("bank.toml");
    let (good, _, errors) = command(&["party", "erase", "--config", bank.to_str().unwrap(), "--ids", list]);
    assert!(good, "{errors}");
    for (side, audit) in [("coordinator", "label-ledger.audit"), ("bank", "bank-ledger.audit")] {
        let receipts = fixture.path(audit).join("receipts");
        let receipt = std::fs::read_dir(receipts).unwrap().next().unwrap().unwrap().path();
        let text = std::fs::read_to_string(receipt).unwrap();
        let counted: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(counted["receipt"]["counts"]["records named"], 200, "{side}: {text}");
        let log = fixture.read(&format!("{audit}/log.jsonl"));
        assert!(
            log.contains("\"kind\":\"erased\"") && !log.contains("r199") && !text.contains("r199"),
            "{log}"
        );
    }
    for side in ["coordinator", "bank"] {
        let left = Recording::read(&fixture.path(&format!("{side}-state/transcript.parquet")), None).unwrap();
        assert!(left.steps.iter().all(|step| step.records.iter().all(|record| *record >= 200)), "{side}");
        assert!(!left.steps.is_empty());
    }
    let (after, errors) = tested();
    assert!(
        after.as_u64() < before.as_u64() && errors.contains("erased since the run"),
        "{before} {after} {errors}"
    );
    assert_eq!(total(), charged, "what has left has left");
}
