use super::*;
use crate::{Cost, EncoderIdentity, FlowKind, Ledger, LedgerOptions, LedgerWrite, MemoryStore, RowBlock};

fn store() -> MemoryStore {
    let disk = MemoryStore::new([3; 32]);
    for rows in [vec![0, 1, 2], vec![1, 2]] {
        let cost = Cost { bits: 16, epsilon: None };
        let flows = vec![(Flow::new("spring", FlowKind::Codes), cost)];
        let terms = LedgerOptions { policy: Policy::default(), flows };
        let ids = ["a", "b,c", "d"].map(String::from);
        let ids = TableIds { ids: &ids, key_columns: 1 };
        let mut ledger = Ledger::open(disk.clone(), ids, &[], terms).unwrap();
        let encoder = EncoderIdentity { digest: hashvfl_core::Digest([rows.len() as u8; 32]), frozen: false };
        ledger.reserve(&rows, RowBlock::once(&rows), &encoder).unwrap();
    }
    disk
}

#[test]
fn totals_beside_what_is_allowed() {
    let policy = Policy { bits_per_record: Some(64), ..Policy::default() };
    let said = LedgerReport::of(&store(), &policy).unwrap().to_string();
    for part in [
        "3 records",
        "bits              16         32         32         64",
        "codes              1          2          2        any",
        "  epsilon   none for 3 records: sent without noise",
        "2 records released 32 bits",
        "codes to spring: 5, with 80 bits in total",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let labels = LedgerReport::of(&store(), &policy).unwrap().of_labels();
    for part in
        ["most\n  bits              16         32         32\n  steps              1", "codes to spring: 5"]
    {
        assert!(labels.contains(part) && !labels.contains("epsilon"), "{part}: {labels}");
    }
    let empty = LedgerReport::of(&MemoryStore::new([0; 32]), &policy).unwrap().to_string();
    assert!(empty.starts_with("0 records"), "{empty}");
}

#[test]
fn exports_hold_keys_or_for_the_holder_ids() {
    let csv = |ids: Option<&[String]>| {
        let mut out = Vec::new();
        let ids = ids.map(|ids| TableIds { ids, key_columns: 1 });
        export(&store(), ids, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    let hashed = csv(None);
    assert_eq!(hashed.lines().count(), 4);
    assert!(
        hashed.starts_with("record,bits,encodings,without_noise,epsilon,epsilon_formal\n")
            && !hashed.contains("b,c")
    );
    let named = csv(Some(&["B,c".to_string(), "x".to_string(), "b,C".to_string()]));
    assert_eq!(
        named.lines().skip(1).collect::<Vec<_>>(),
        ["\"B,c\",32,2,2,none,0"],
        "under its first spelling"
    );
}

#[test]
fn one_record_in_words() {
    let mut account = Account::default();
    account.charge(Cost { bits: 16, epsilon: None }, 1);
    let policy = Policy { bits_per_record: Some(64), ..Policy::default() };
    let said = explain_account(&account, &policy);
    assert!(
        said.contains(
            "16 bits of 64 allowed in 1 code; epsilon: none, because 1 code was released without noise"
        ),
        "{said}"
    );
    let mut account = Account::default();
    account.learned_from = true;
    account.charge(Cost { bits: 16, epsilon: Epsilon::new(32.0) }, 16);
    let said = explain_account(&account, &policy);
    assert!(
        said.contains("epsilon: none (formal sum 512), because bottom models were fitted on it"),
        "{said}"
    );
    let flagged = MemoryStore::new([0; 32]);
    let entry = (RecordKey([0; 16]), Some(account));
    let changes = LedgerWrite { accounts: &mut [entry].into_iter(), flows: &BTreeMap::new(), answers: &[] };
    flagged.clone().write(changes).unwrap();
    let said = LedgerReport::of(&flagged, &policy).unwrap().to_string();
    let expected = "none (formal sum 512 at most) for 1 record: used to fit bottom models";
    assert!(said.contains(expected), "{said}");
    let mut csv = Vec::new();
    export(&flagged, None, &mut csv).unwrap();
    assert!(String::from_utf8(csv).unwrap().ends_with(",256,16,0,none,512\n"));
}
