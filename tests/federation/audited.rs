//! The audit trails of a federation: what each side wrote down, heads that everybody has of everybody, and a log that was
//! changed afterwards.

use std::fs;

use crate::fixture::{Fixture, PARTIES, command, done};
use crate::secured::{key_of, secured};

/// What `ROLE audit show` prints under the config of a side.
fn shown(fixture: &Fixture, side: &str) -> String {
    let role = if side == "coordinator" { "coordinator" } else { "party" };
    let config = fixture.path(&format!("{side}.toml"));
    let (good, out, errors) = command(&[role, "audit", "show", "--config", config.to_str().unwrap()]);
    assert!(good, "{errors}");
    out
}

/// The folder of a side's audit trail.
fn folder(side: &str) -> String {
    match side {
        "coordinator" => "label-ledger.audit".to_string(),
        party => format!("{party}-ledger.audit"),
    }
}

/// The file of heads that `keeper` has of the log of `side`.
fn heads(keeper: &str, side: &str) -> String {
    let side = if side == "coordinator" { side.to_string() } else { format!("party-{side}") };
    format!("{}/heads/{side}.jsonl", folder(keeper))
}

/// Whether the log of `side` fits the heads that `keeper` has; what was said.
pub fn verified(fixture: &Fixture, side: &str, keeper: &str) -> (bool, String) {
    let (log, heads) =
        (fixture.path(&format!("{}/log.jsonl", folder(side))), fixture.path(&heads(keeper, side)));
    let (log, heads) = (log.to_str().unwrap(), heads.to_str().unwrap());
    let (good, out, errors) = command(&["party", "audit", "verify", "--log", log, "--against", heads]);
    (good, out + &errors)
}

/// What `party` released to the coordinator, as both of them wrote down alike.
pub fn released(fixture: &Fixture, party: &str) -> String {
    let begin = format!("{party} released codes to coordinator: ");
    let [of_coordinator, of_party] = ["coordinator", party].map(|side| {
        let text = shown(fixture, side);
        let line = text.lines().find(|line| line.contains(&begin));
        line.unwrap_or_else(|| panic!("{text}")).split_once(&begin).unwrap().1.to_string()
    });
    assert_eq!(of_coordinator, of_party);
    of_party
}

#[test]
fn both_sides_write_down_a_run_and_everybody_has_heads_of_everybody() {
    let fixture = Fixture::new();
    fixture.run();
    // 304 records in 4 epochs, 32 validation records after each, 80 test records: the same figures on both sides.
    let coordinator = shown(&fixture, "coordinator");
    for party in PARTIES {
        let party_log = shown(&fixture, party);
        released(&fixture, party);
        for expected in [
            &format!("{party} joined training"),
            "run started with bank, telecom: 400 records",
            "run finished",
        ] {
            assert!(
                party_log.contains(expected) && coordinator.contains(expected),
                "{expected}\n{party_log}{coordinator}"
            );
        }
        assert!(
            coordinator.contains(&format!("coordinator released gradients to {party}: ")),
            "{coordinator}"
        );
    }
    let sides = ["coordinator", PARTIES[0], PARTIES[1]];
    for side in sides {
        for keeper in sides.into_iter().filter(|keeper| *keeper != side) {
            let (good, said) = verified(&fixture, side, keeper);
            assert!(good && said.contains("2 heads compared"), "{side} at {keeper}: {said}");
            assert!(said.contains("no head covers the 0 entries after them"), "{side} at {keeper}: {said}");
        }
    }

    // The trail outlives the state folder, and the next run goes on with it.
    fs::remove_dir_all(fixture.path("bank-state")).unwrap();
    let own = fixture.path("bank.toml");
    let (own, out) = (own.to_str().unwrap(), fixture.path("bank-audit.jsonl"));
    let out = out.to_str().unwrap();
    let (good, said, errors) = command(&["party", "audit", "export", "--config", own, "--out", out]);
    assert!(good && said.contains("head: "), "{said}{errors}");
    let log = fixture.path("bank-ledger.audit/log.jsonl");
    assert_eq!(fs::read(out).unwrap(), fs::read(&log).unwrap());

    // An entry that is made to say something else, with a chain that is mended behind it, still is not what it was.
    let text = fs::read_to_string(&log).unwrap();
    fs::write(&log, text.replacen("\"step\":", "\"step\":1", 1)).unwrap();
    let (good, said) = verified(&fixture, "bank", "telecom");
    assert!(!good && said.contains("was changed or rewritten"), "{said}");
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    fs::write(&log, lines[..lines.len() - 1].concat()).unwrap();
    let (good, said) = verified(&fixture, "bank", "coordinator");
    assert!(!good && said.contains("was truncated or restarted"), "{said}");
    // The chain alone says nothing of that.
    let (good, _, errors) = command(&["party", "audit", "verify", "--config", own]);
    assert!(good, "{errors}");
}

#[test]
fn heads_are_signed_with_the_keys_of_their_sides_and_any_other_key_is_written_down() {
    let fixture = secured();
    let keys = [("coordinator", "shop"), ("bank", "bank"), ("telecom", "telecom")]
        .map(|(side, folder)| (side, key_of(&fixture, folder)));
    // The telecom was told another key of bank's.
    let (pin, folder) = (format!("party/bank={}", keys[0].1), fixture.path("telecom").display().to_string());
    done(&["party", "identity", "pin", &pin, "--folder", &folder]);
    fixture.run();
    for (side, key) in &keys {
        for keeper in ["coordinator", "bank", "telecom"].into_iter().filter(|keeper| keeper != side) {
            let (good, said) = verified(&fixture, side, keeper);
            assert!(good && said.contains(&format!("2 heads signed with the key {key}")), "{said}");
            let counts = (*side, keeper) != ("bank", "telecom");
            let kept = fixture.read(&heads(keeper, side));
            let as_theirs = kept.lines().filter(|line| line.contains(&format!("\"key\":\"{key}\""))).count();
            assert_eq!(as_theirs, if counts { 2 } else { 0 }, "{side} at {keeper}: {kept}");
        }
    }
    let noted = |side: &str| shown(&fixture, side).matches("is not signed by an accepted key").count();
    assert_eq!(["coordinator", "bank", "telecom"].map(noted), [0, 0, 2]);
    assert!(shown(&fixture, "telecom").contains("party-bank sent a head with "));

    // A head that is changed where it is kept is found, though the log is the one that it names: by its digest, and where
    // somebody has put that right, by its signature.
    let kept = heads("bank", "telecom");
    let changed = fixture.read(&kept).replace("\"run\":\"test\"", "\"run\":\"other\"");
    fixture.write(&kept, &changed);
    let (good, said) = verified(&fixture, "telecom", "bank");
    assert!(!good && said.contains("line 1, is damaged"), "{said}");
    let without_digest = |line: &str| format!("{}}}\n", line.split_once(",\"sha256\":").unwrap().0);
    fixture.write(&kept, &changed.lines().map(without_digest).collect::<String>());
    let (good, said) = verified(&fixture, "telecom", "bank");
    assert!(!good && said.contains("the signature does not match"), "{said}");
}

#[test]
fn a_head_that_a_peer_has_made_up_accuses_no_log() {
    let fixture = secured();
    fixture.run();
    let file = heads("bank", "telecom");
    let kept = fixture.read(&file);
    // Another entry than the one that was signed, in a line without a digest of its own.
    let line = kept.lines().last().unwrap();
    let line = format!("{}}}", line.split_once(",\"sha256\":").unwrap().0);
    let entry = line.split_once("\"entry_sha256\":\"").unwrap().1.split_once('"').unwrap().0;
    let other = line.replace(entry, &"0".repeat(64));
    fixture.write(&file, &format!("{kept}{other}\n"));
    let (good, said) = verified(&fixture, "telecom", "bank");
    assert!(!good && said.contains("the signature does not match"), "{said}");
    assert!(!said.contains("was changed or rewritten"), "{said}");
    // The same without a signature and a key.
    let signature = other.split_once(",\"signature\":").unwrap().0;
    fixture.write(&file, &format!("{kept}{signature}}}\n"));
    let (good, said) = verified(&fixture, "telecom", "bank");
    assert!(
        !good && said.contains("no signed head contradicts the log; one that is not signed does"),
        "{said}"
    );
    assert!(said.contains("2 heads signed with the key"), "{said}");
    fixture.write(&file, &kept);
    assert!(verified(&fixture, "telecom", "bank").0);
}

#[test]
fn a_party_without_an_approval_joins_no_run() {
    let mut fixture = Fixture::new();
    fixture.extra.push(("bank", "policy = \"policy.toml\"".into()));
    fixture.write("policy.toml", "require_approval = true\n");
    let config = fixture.party_config("bank", "127.0.0.1:1");
    let config = config.to_str().unwrap();
    let (good, _, errors) = command(&["party", "--config", config]);
    assert!(!good && errors.contains("require_approval = true refuses 400 records"), "{errors}");
    assert!(errors.contains("`party approve --config FILE`"), "{errors}");
    let (good, out, errors) = command(&["party", "approve", "--config", config]);
    assert!(good && out.contains("  run.bits = 8\n") && out.contains("--digest "), "{out}{errors}");
    let digest = out.trim().rsplit(' ').next().unwrap();
    let wrong = "0".repeat(64);
    let (good, _, errors) = command(&["party", "approve", "--config", config, "--digest", &wrong]);
    assert!(!good && errors.contains("is not that of these settings"), "{errors}");
    let by = ["party", "approve", "--config", config, "--digest", digest, "--by", "A. Officer"];
    let (good, out, errors) = command(&by);
    assert!(good && out.contains("approved, in "), "{out}{errors}");
    let (good, _, errors) = command(&["party", "--check", "--config", config]);
    assert!(good, "{errors}");
    let log = shown(&fixture, "bank");
    for expected in
        ["policy in force: ", "bank refused from training: policy:require_approval", "approved by A. Officer"]
    {
        assert!(log.contains(expected), "{expected}: {log}");
    }
    // Other settings need an approval of their own.
    fixture.settings.epochs += 1;
    fixture.party_config("bank", "127.0.0.1:1");
    let (good, _, errors) = command(&["party", "--check", "--config", config]);
    assert!(!good && errors.contains("are not approved"), "{errors}");
}

#[test]
fn a_refused_party_is_written_down_and_no_head_travels_without_a_trail() {
    let mut fixture = Fixture::new();
    for side in ["coordinator", PARTIES[0], PARTIES[1]] {
        fixture.extra.push((side, "audit = { enabled = false }".into()));
    }
    fixture.run();
    for side in ["coordinator", PARTIES[0], PARTIES[1]] {
        assert!(!fixture.path(&folder(side)).exists(), "{side}");
    }

    let mut fixture = Fixture::new();
    let (mut coordinator, address) = fixture.coordinator();
    fixture.settings.bits = 16;
    let mut refused = fixture.party("bank", &address);
    assert!(!refused.ends().0);
    fixture.settings.bits = 8;
    let mut parties = PARTIES.map(|name| fixture.party(name, &address));
    coordinator.succeeds();
    parties.iter_mut().for_each(crate::fixture::Role::succeeds);
    let log = shown(&fixture, "coordinator");
    assert!(log.contains("bank refused from training: other-settings"), "{log}");
    let log = shown(&fixture, "bank");
    assert!(log.contains("bank refused from training: the-coordinator-refused"), "{log}");
}

#[test]
fn a_run_that_has_finished_ends_well_where_the_heads_of_others_cannot_be_kept() {
    let mut fixture = Fixture::new();
    fixture.settings.epochs = 300;
    let (mut coordinator, address) = fixture.coordinator();
    let mut parties = PARTIES.map(|name| fixture.party(name, &address));
    coordinator.wait_for("\"epoch\":2");
    // A file stands where their folder was.
    for side in ["coordinator", PARTIES[0]] {
        let folder = format!("{}/heads", folder(side));
        fs::remove_dir_all(fixture.path(&folder)).unwrap();
        fixture.write(&folder, "");
    }
    coordinator.wait_for("\"event\":\"finished\"");
    let [bank, _] = &mut parties;
    for side in [&mut coordinator, bank] {
        let (good, log) = side.ends();
        assert!(good && log.contains("are not kept"), "{log}");
    }
    parties[1].succeeds();
    assert!(fixture.read("label-ledger.runs.jsonl").contains("\"run_id\":\"test\""), "it is listed");
}
