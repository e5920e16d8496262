//! Receipts of erasures between organisations: whoever asked for one finds out whose it is, and whether it answers what was
//! asked.

use crate::fixture::{Fixture, command, done};
use crate::secured::{key_of, last_word, secured};

/// Erases the records of `ids.txt` at a side; the receipt.
fn erased(fixture: &Fixture, role: &str, side: &str) -> String {
    let config = fixture.path(&format!("{side}.toml")).display().to_string();
    let ids = fixture.path("ids.txt").display().to_string();
    last_word(&done(&[role, "erase", "--config", &config, "--ids", &ids]), "the receipt is ")
}

/// Verifies a receipt for a file of ids, with `known` saying whose key it should be; what was said.
fn verified(fixture: &Fixture, receipt: &str, ids: &str, known: [&str; 2]) -> (bool, String) {
    let ids = fixture.path(ids).display().to_string();
    let verify = ["party", "audit", "receipt", receipt, "--ids", &ids];
    let (good, said, errors) = command(&[&verify[..], &known].concat());
    (good, said + &errors)
}

#[test]
fn each_side_verifies_the_receipt_of_the_other_and_no_forged_one_passes() {
    let fixture = secured();
    fixture.run();
    fixture.write("ids.txt", "r3\nr5\n");
    let of_coordinator = erased(&fixture, "coordinator", "coordinator");
    let of_bank = erased(&fixture, "party", "bank");

    // A pinned key is known, and no other.
    let bank = fixture.path("bank.toml").display().to_string();
    let by_pins = ["--config", bank.as_str()];
    let (good, said) = verified(&fixture, &of_coordinator, "ids.txt", by_pins);
    assert!(!good && said.contains("no key of the coordinator is known here"), "{said}");
    let (shop, folder) = (key_of(&fixture, "shop"), fixture.path("bank").display().to_string());
    done(&["party", "identity", "pin", &format!("coordinator/shop={shop}"), "--folder", &folder]);
    let (good, said) = verified(&fixture, &of_coordinator, "ids.txt", by_pins);
    assert!(good && said.contains(&format!("the coordinator has signed, with the key {shop}")), "{said}");
    assert!(said.contains("  2 records named\n") && !said.contains("r3"), "{said}");
    assert!(said.contains("(pinned as that of coordinator/shop)"), "{said}");

    // Of several coordinators that are pinned, the one counts that the config names.
    let other = format!("coordinator/mill={}", key_of(&fixture, "telecom"));
    done(&["party", "identity", "pin", &other, "--folder", &folder]);
    let config = fixture.read("bank.toml");
    for (name, expected) in [("mill", false), ("shop", true)] {
        let named = format!("folder = \"bank\", coordinator = \"{name}\"");
        fixture.write("bank.toml", &config.replace("folder = \"bank\"", &named));
        let (good, said) = verified(&fixture, &of_coordinator, "ids.txt", by_pins);
        assert_eq!(good, expected, "{name}: {said}");
        assert!(good || said.contains("which is not that of the coordinator"), "{said}");
    }
    fixture.write("bank.toml", &config);

    // So is one that was read out.
    let (key, telecom) = (key_of(&fixture, "bank"), key_of(&fixture, "telecom"));
    let (good, said) = verified(&fixture, &of_bank, "ids.txt", ["--key", &key]);
    assert!(good && said.contains("party bank has signed, with the key"), "{said}");
    let (good, said) = verified(&fixture, &of_bank, "ids.txt", ["--key", &telecom]);
    assert!(!good && said.contains(&format!("the key {key}, which is not that of party bank")), "{said}");
    fixture.write("others.txt", "r3\nr6\n");
    let (good, said) = verified(&fixture, &of_bank, "others.txt", ["--key", &key]);
    assert!(!good && said.contains("party bank made it for another request"), "{said}");

    // A receipt that says more than was signed, or that another has signed.
    let text = std::fs::read_to_string(&of_bank).unwrap();
    let forged = fixture.path("forged.json").display().to_string();
    for (old, new) in [
        ("\"records named\": 2", "\"records named\": 3"),
        ("\"side\": \"party-bank\"", "\"side\": \"party-telecom\""),
    ] {
        assert!(text.contains(old), "{text}");
        fixture.write("forged.json", &text.replace(old, new));
        let (good, said) = verified(&fixture, &forged, "ids.txt", ["--key", &key]);
        assert!(!good && said.contains("the signature does not match: it was changed after party"), "{said}");
    }
    fixture.write("forged.json", "{}");
    let (good, said) = verified(&fixture, &forged, "ids.txt", ["--key", &key]);
    assert!(!good && said.contains("forged.json: it is not an erasure receipt"), "{said}");
}

#[test]
fn a_side_without_a_key_gives_a_receipt_that_proves_nothing() {
    let fixture = Fixture::new();
    fixture.run();
    fixture.write("ids.txt", "r3\n");
    let receipt = erased(&fixture, "party", "bank");
    let telecom = fixture.path("telecom.toml").display().to_string();
    let (good, said) = verified(&fixture, &receipt, "ids.txt", ["--config", &telecom]);
    assert!(
        !good && said.contains("it is not signed, so anyone could have written it: party bank"),
        "{said}"
    );
}
