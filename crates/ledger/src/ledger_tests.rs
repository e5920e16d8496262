use hashvfl_core::CanonicalId;

use super::*;
use crate::{Accounts, FlowKind, MemoryStore, Rule, forget_answers, known_under_other_ids};

const IDS: [&str; 4] = ["a", "b", "c", "d"];
const LEARNING: EncoderIdentity = EncoderIdentity { digest: Digest([1; 32]), frozen: false };
const FROZEN: EncoderIdentity = EncoderIdentity { digest: Digest([2; 32]), frozen: true };

fn open(disk: &MemoryStore, policy: &str) -> Ledger<MemoryStore> {
    open_of(disk, &IDS, policy)
}

fn open_of(disk: &MemoryStore, ids: &[&str], policy: &str) -> Ledger<MemoryStore> {
    let policy = Policy::parse(policy).unwrap();
    let flows = vec![(Flow::new("spring", FlowKind::Codes), Cost { bits: 8, epsilon: None })];
    let ids: Vec<String> = ids.iter().map(|id| (*id).to_string()).collect();
    let columns: Vec<Digest> = (0..ids.len() as u8).map(|row| Digest::of(&[row])).collect();
    let ids = TableIds { ids: &ids, key_columns: 1 };
    Ledger::open(disk.clone(), ids, &columns, LedgerOptions { policy, flows }).unwrap()
}

/// Reserves and releases `rows`, each with the bytes `with`.
fn send(
    ledger: &mut Ledger<MemoryStore>,
    rows: &[u32],
    encoder: EncoderIdentity,
    with: &[u8],
) -> Result<(), LedgerError> {
    ledger.reserve(rows, RowBlock::once(rows), &encoder)?;
    let digests: Vec<_> = rows.iter().map(|_| ReleaseDigest::of(&encoder, with)).collect();
    ledger.release(rows, &encoder, &digests)
}

fn bits(ledger: &Ledger<MemoryStore>) -> Vec<u64> {
    (0..4).map(|row| ledger.account(row).bits).collect()
}

#[test]
fn the_same_bytes_are_free_and_other_bytes_count() {
    let mut ledger = open(&MemoryStore::default(), "");
    send(&mut ledger, &[0, 1], LEARNING, b"x").unwrap();
    send(&mut ledger, &[0, 1], LEARNING, b"x").unwrap();
    assert_eq!(bits(&ledger), [8, 8, 0, 0], "a replay is free");
    send(&mut ledger, &[0], LEARNING, b"y").unwrap();
    send(&mut ledger, &[1], EncoderIdentity { digest: Digest([9; 32]), ..LEARNING }, b"x").unwrap();
    assert_eq!(bits(&ledger), [16, 16, 0, 0], "other bytes count, and so does another encoder");
}

#[test]
fn a_block_is_on_disk_before_its_first_batch_and_what_is_left_comes_back() {
    let disk = MemoryStore::default();
    let mut ledger = open(&disk, "");
    ledger.reserve(&[0], RowBlock::once(&[0, 1, 2]), &LEARNING).unwrap();
    assert_eq!(bits(&open(&disk, "")), [8, 8, 8, 0], "what a crash leaves behind");
    ledger.release(&[0], &LEARNING, &[ReleaseDigest::of(&LEARNING, b"x")]).unwrap();
    ledger.reserve(&[1], RowBlock::once(&[0, 1, 2]), &LEARNING).unwrap();
    assert_eq!(bits(&ledger), [8, 8, 8, 0], "the next batch was reserved with the first");
    ledger.settle().unwrap();
    let mut again = open(&disk, "");
    assert_eq!(bits(&again), [8, 0, 0, 0]);
    assert_eq!(disk.flows().unwrap()[&Flow::new("spring", FlowKind::Codes)], Volume { items: 1, bits: 8 });
    send(&mut again, &[0], LEARNING, b"x").unwrap();
    assert_eq!(bits(&again), [8, 0, 0, 0], "digests outlast a restart");
}

#[test]
fn passes_are_reserved_ahead_as_far_as_the_policy_goes() {
    let disk = MemoryStore::default();
    let mut ledger = open(&disk, "bits_per_record = 32");
    let pass = |ledger: &mut Ledger<MemoryStore>, with: &[u8]| {
        ledger.reserve(&[0, 1], RowBlock { rows: &[0, 1], passes: 3 }, &LEARNING)?;
        ledger.release(&[0, 1], &LEARNING, &[ReleaseDigest::of(&LEARNING, with); 2])
    };
    pass(&mut ledger, b"a").unwrap();
    assert_eq!(bits(&open(&disk, "")), [24, 24, 0, 0], "three passes in one durable write");
    pass(&mut ledger, b"b").unwrap();
    pass(&mut ledger, b"c").unwrap();
    assert_eq!(bits(&ledger), [24, 24, 0, 0]);
    pass(&mut ledger, b"d").unwrap();
    assert_eq!(bits(&ledger), [32, 32, 0, 0], "three more would be too many, one is not");
    let Err(LedgerError::Refused(refusal)) = pass(&mut ledger, b"e") else { panic!("more than allowed") };
    assert_eq!((refusal.rule, refusal.records), (Rule::Bits, 2));
    let mut ledger = open(&disk, "");
    ledger.reserve(&[2], RowBlock { rows: &[2], passes: 3 }, &LEARNING).unwrap();
    ledger.release(&[2], &LEARNING, &[ReleaseDigest::of(&LEARNING, b"a")]).unwrap();
    ledger.settle().unwrap();
    assert_eq!(bits(&open(&disk, "")), [32, 32, 8, 0], "what is left over comes back");
}

#[test]
fn records_that_a_whole_run_is_not_allowed_for_are_known_before_it() {
    let mut ledger = open(&MemoryStore::default(), "bits_per_record = 32");
    send(&mut ledger, &[0, 1], LEARNING, b"x").unwrap();
    assert_eq!(ledger.beyond(&[(&[3, 1, 0], 4)]), [1, 0]);
    assert_eq!(ledger.beyond(&[(&[0, 1, 2], 5), (&[3], 5)]), [0, 1, 2, 3]);
    assert!(ledger.beyond(&[(&[0, 1], 3), (&[0], 0)]).is_empty());
}

#[test]
fn beyond_the_policy_nothing_is_reserved_and_the_rule_is_named() {
    let mut ledger = open(&MemoryStore::default(), "bits_per_record = 16\nmin_batch = 2");
    send(&mut ledger, &[0, 1], LEARNING, b"x").unwrap();
    send(&mut ledger, &[0, 1], LEARNING, b"y").unwrap();
    let Err(LedgerError::Refused(refusal)) =
        ledger.reserve(&[2, 3], RowBlock::once(&[0, 1, 2, 3]), &LEARNING)
    else {
        panic!("more than allowed");
    };
    assert_eq!((refusal.rule, refusal.records), (Rule::Bits, 2));
    assert_eq!(bits(&ledger), [16, 16, 0, 0]);
    let Err(LedgerError::Refused(refusal)) = ledger.reserve(&[2], RowBlock::once(&[2, 3]), &LEARNING) else {
        panic!("an answer too small");
    };
    assert_eq!((refusal.rule, refusal.records), (Rule::MinBatch, 1));
}

#[test]
fn a_frozen_encoder_repeats_itself_for_free_even_with_no_budget_left() {
    let disk = MemoryStore::default();
    let mut ledger = open(&disk, "bits_per_record = 16");
    send(&mut ledger, &[0, 1], FROZEN, b"x").unwrap();
    send(&mut ledger, &[0, 1], LEARNING, b"x").unwrap();
    ledger.settle().unwrap();
    let mut ledger = open(&disk, "bits_per_record = 16");
    send(&mut ledger, &[0, 1], FROZEN, b"x").unwrap();
    assert_eq!(bits(&ledger), [16, 16, 0, 0]);
    // Another device rounds otherwise: the digest is expected, the bytes are not.
    let Err(LedgerError::Refused(refusal)) = send(&mut ledger, &[0, 1], FROZEN, b"y") else {
        panic!("other bytes than before");
    };
    assert_eq!((refusal.rule, refusal.records), (Rule::Bits, 2));
}

#[test]
fn what_is_over_the_policy_is_told_row_by_row() {
    let mut ledger = open(&MemoryStore::default(), "bits_per_record = 8\nmin_batch = 2");
    send(&mut ledger, &[0, 1], FROZEN, b"x").unwrap();
    assert!(
        ledger.refused(&[0, 1, 2], &[false; 3], &FROZEN).positions.is_empty(),
        "what was released before is free"
    );
    let refused = ledger.refused(&[0, 1, 2, 3], &[false; 4], &LEARNING);
    let refusal = refused.refusal.unwrap();
    assert_eq!((refused.positions, refusal.rule, refusal.records), (vec![0, 1], Rule::Bits, 2));
    let refused = ledger.refused(&[0, 2], &[false; 2], &LEARNING);
    assert_eq!((refused.positions, refused.refusal.unwrap().rule), (vec![0, 1], Rule::MinBatch));
    assert_eq!(ledger.refused(&[2], &[false; 1], &FROZEN).refusal.unwrap().rule, Rule::MinBatch);
    assert_eq!(bits(&ledger), [8, 8, 0, 0], "nothing is charged by asking");
}

#[test]
fn what_is_new_in_any_case_is_charged_with_or_without_a_block() {
    let mut ledger = open(&MemoryStore::default(), "");
    ledger.spend(&[0], RowBlock::once(&[0, 1])).unwrap();
    ledger.spend(&[1], RowBlock::once(&[0, 1])).unwrap();
    assert_eq!(bits(&ledger), [8, 8, 0, 0]);
    ledger.spend(&[1, 2], RowBlock::once(&[1])).unwrap();
    assert_eq!(bits(&ledger), [8, 16, 8, 0], "also rows that are missing in their block");
}

#[test]
fn two_recipients_cost_what_each_gets() {
    let flows = ["bank", "telecom"].map(|name| Flow::new(name, FlowKind::Gradients));
    let cost = |bits| Cost { bits, epsilon: Epsilon::new(0.5) };
    let disk = MemoryStore::default();
    let costs = flows.iter().cloned().zip([cost(8), cost(3)]).collect();
    let terms = LedgerOptions { policy: Policy::default(), flows: costs };
    let ids = IDS.map(String::from);
    let ids = TableIds { ids: &ids, key_columns: 1 };
    let mut ledger = Ledger::open(disk.clone(), ids, &[], terms).unwrap();
    send(&mut ledger, &[3], LEARNING, b"x").unwrap();
    let account = ledger.account(3);
    assert_eq!((account.bits, account.total_epsilon()), (11, Epsilon::new(1.0)));
    ledger.note(&Flow::new("operator", FlowKind::Losses), Volume::of(3, 64)).unwrap();
    let totals = disk.flows().unwrap();
    assert_eq!((totals[&flows[0]], totals[&flows[1]]), (Volume::of(1, 8), Volume::of(1, 3)));
    assert_eq!(totals[&Flow::new("operator", FlowKind::Losses)].bits, 192);
    ledger.take_back(&Flow::new("operator", FlowKind::Losses), Volume::of(1, 64)).unwrap();
    assert_eq!(disk.flows().unwrap()[&Flow::new("operator", FlowKind::Losses)], Volume::of(2, 64));
}

/// With flips, no encoder repeats itself.
const FLIPPING: EncoderIdentity = EncoderIdentity { digest: Digest([3; 32]), frozen: false };

fn name(ledger: &Ledger<MemoryStore>, column: f32) -> AnswerName {
    AnswerName::of(&ledger.salt(), &FLIPPING.digest, &[column])
}

/// Answers `rows` of one `column` by a draw that is named `drawn`: what is kept as it was, the rest anew.
fn answer(
    ledger: &mut Ledger<MemoryStore>,
    rows: &[u32],
    column: f32,
    drawn: &[u8],
) -> Result<Vec<Vec<u8>>, LedgerError> {
    let name = name(ledger, column);
    let kept = ledger.kept(rows, &vec![name; rows.len()])?;
    let fresh: Vec<u32> =
        rows.iter().zip(&kept).filter(|(_, kept)| kept.is_none()).map(|(row, _)| *row).collect();
    ledger.allow(&fresh, rows.len())?;
    let release = ReleaseDigest::of(&FLIPPING, drawn);
    let answer = |_: &u32| KeptAnswer { name, release, bytes: drawn.to_vec() };
    let answers = fresh.iter().map(answer).collect();
    ledger.keep(&fresh, &FLIPPING, answers)?;
    Ok(kept.into_iter().map(|kept| kept.unwrap_or_else(|| drawn.to_vec())).collect())
}

#[test]
fn a_kept_answer_is_sent_again_for_nothing_and_whatever_changed_is_a_fresh_draw() {
    let disk = MemoryStore::default();
    let mut ledger = open(&disk, "bits_per_record = 16");
    assert_eq!(answer(&mut ledger, &[0, 1], 1.0, b"x").unwrap(), [b"x", b"x"]);
    assert_eq!(bits(&open(&disk, "")), [8, 8, 0, 0], "charged before it is sent");
    let mut ledger = open(&disk, "bits_per_record = 16");
    assert_eq!(answer(&mut ledger, &[0, 1, 2], 1.0, b"y").unwrap(), [b"x", b"x", b"y"]);
    assert_eq!(bits(&ledger), [8, 8, 8, 0]);
    assert_eq!(answer(&mut ledger, &[0], 2.0, b"z").unwrap(), [b"z"], "other columns");
    assert_eq!(bits(&ledger), [16, 8, 8, 0]);
    assert!(answer(&mut ledger, &[0], 3.0, b"w").is_err(), "the policy is asked before a draw");
    assert_eq!(answer(&mut ledger, &[0], 2.0, b"w").unwrap(), [b"z"], "what is kept costs nothing");
    assert_eq!(bits(&open(&disk, "")), [16, 8, 8, 0]);
}

#[test]
fn a_fresh_draw_is_charged_where_it_gives_the_same_bytes_and_a_repeat_of_the_draw_is_not() {
    let mut ledger = open(&MemoryStore::default(), "");
    let release = |draw: &[u8]| ReleaseDigest::of(&FLIPPING, &[draw, b"same bytes"].concat());
    for draw in [b"one", b"two", b"two"] {
        ledger.reserve(&[0], RowBlock::once(&[0]), &FLIPPING).unwrap();
        ledger.release(&[0], &FLIPPING, &[release(draw)]).unwrap();
    }
    assert_eq!(bits(&ledger), [16, 0, 0, 0]);
}

#[test]
fn erasing_forgets_answers_and_keeps_charges() {
    let mut disk = MemoryStore::default();
    let mut ledger = open(&disk, "");
    answer(&mut ledger, &[0, 1], 1.0, b"x").unwrap();
    let ids = ["A ", "nobody"].map(|id| CanonicalId::of(id, 1));
    assert_eq!(forget_answers(&mut disk, &ids).unwrap(), 1);
    let mut ledger = open(&disk, "");
    assert_eq!(bits(&ledger), [8, 8, 0, 0]);
    assert_eq!(answer(&mut ledger, &[0, 1], 1.0, b"y").unwrap(), [b"y", b"x"]);
    assert_eq!(bits(&ledger), [16, 8, 0, 0]);
}

#[test]
fn what_is_kept_is_not_refused() {
    let mut ledger = open(&MemoryStore::default(), "bits_per_record = 8\nmin_batch = 2");
    answer(&mut ledger, &[0, 1], 1.0, b"x").unwrap();
    assert!(ledger.refused(&[0, 1, 2], &[true, true, false], &FLIPPING).positions.is_empty());
    let refused = ledger.refused(&[0, 1, 2], &[true, false, false], &FLIPPING);
    assert_eq!((refused.positions, refused.refusal.unwrap().rule), (vec![1], Rule::Bits));
}

#[test]
fn rows_whose_ids_differ_in_spelling_alone_share_a_budget() {
    let ids = ["a", "A", "b", " a"];
    let open = |disk: &MemoryStore| open_of(disk, &ids, "bits_per_record = 16");
    let mut ledger = open(&MemoryStore::default());
    let refused = ledger.refused(&[0, 1, 2, 3], &[false; 4], &LEARNING);
    assert_eq!(refused.positions, [3], "the third of one record");
    assert_eq!(ledger.beyond(&[(&[0, 1], 1), (&[2, 3], 1)]), [3]);
    assert!(ledger.reserve(&[0, 1, 3], RowBlock::once(&[0, 1, 3]), &LEARNING).is_err());
    ledger.reserve(&[0], RowBlock::once(&[0]), &LEARNING).unwrap();
    assert!(ledger.is_reserved(&[0]) && ledger.is_reserved(&[1]) && !ledger.is_reserved(&[0, 1]));
    ledger.reserve(&[0, 1], RowBlock::once(&[0, 1]), &LEARNING).unwrap();
    assert!(ledger.is_reserved(&[0, 1]));
    let digests = [b"x", b"y"].map(|bytes| ReleaseDigest::of(&LEARNING, bytes));
    ledger.release(&[0, 1], &LEARNING, &digests).unwrap();
    assert_eq!(bits(&ledger), [16, 16, 0, 16]);
    assert!(ledger.allow(&[3], 1).is_err() && ledger.allow(&[2], 1).is_ok());
}

#[test]
fn accounts_under_another_spelling_of_before_are_folded_in_once() {
    let mut disk = MemoryStore::default();
    let account = |bits: u32| {
        let mut account = Account::default();
        account.charge(Cost { bits, epsilon: None }, 1);
        Some(account)
    };
    let old = |id| RecordKey::of_spelling(&disk.salt(), id);
    let mut entries =
        BTreeMap::from([(old("a"), account(8)), (old("A"), account(16)), (old("X"), account(32))]);
    entries.insert(old("b"), account(1));
    let changes = LedgerWrite { accounts: &mut entries.into_iter(), flows: &BTreeMap::new(), answers: &[] };
    disk.write(changes).unwrap();
    for _ in 0..2 {
        let ledger = open_of(&disk, &["A", "b", " a", "c"], "");
        assert_eq!(bits(&ledger), [24, 1, 24, 0]);
    }
    assert_eq!(bits(&open(&disk, "")), [24, 1, 0, 0], "by any spelling");
    let mut total = 0;
    disk.scan(&mut |_, account| total += account.bits).unwrap();
    assert_eq!(total, 8 + 16 + 32 + 1, "nothing is lost and nothing counted twice");
}

#[test]
fn who_was_learned_from_is_known_for_good() {
    let disk = MemoryStore::default();
    open(&disk, "").learn_from(&[0, 2]).unwrap();
    let mut ledger = open(&disk, "epsilon_per_record = 100.0");
    assert!(
        ledger.account(0).learned_from && !ledger.account(1).learned_from && ledger.account(2).learned_from
    );
    ledger.terms.flows[0].1.epsilon = Epsilon::new(2.0);
    let Err(LedgerError::Refused(refusal)) = ledger.reserve(&[0, 1], RowBlock::once(&[0, 1]), &LEARNING)
    else {
        panic!("no finite epsilon");
    };
    assert_eq!((refusal.rule, refusal.records), (Rule::Epsilon, 1));
    ledger.reserve(&[1], RowBlock::once(&[1]), &LEARNING).unwrap();
}

#[test]
fn contents_under_new_ids_are_noticed_and_new_records_are_not() {
    let disk = MemoryStore::default();
    let mut ledger = open(&disk, "");
    send(&mut ledger, &[0, 1], LEARNING, b"x").unwrap();
    let of = |ids: &[&str], contents: &[u8]| {
        let ids: Vec<String> = ids.iter().map(|id| (*id).to_string()).collect();
        let columns: Vec<Digest> = contents.iter().map(|content| Digest::of(&[*content])).collect();
        known_under_other_ids(&disk, TableIds { ids: &ids, key_columns: 1 }, &columns).unwrap()
    };
    assert_eq!(of(&["a", "B "], &[0, 1]), 0, "under their own ids");
    assert_eq!(of(&["a", "b"], &[1, 0]), 0, "ids that are known");
    assert_eq!(of(&["new", "newer"], &[2, 3]), 0, "contents that nothing was released of");
    assert_eq!(of(&["p1", "p2", "a", "p3"], &[0, 1, 0, 2]), 2);
}

#[test]
fn the_most_that_any_record_released_is_known() {
    let disk = MemoryStore::default();
    let mut ledger = open(&disk, "");
    assert_eq!(ledger.most_released(), crate::MostReleased::default());
    send(&mut ledger, &[0, 1], LEARNING, b"x").unwrap();
    send(&mut ledger, &[1], LEARNING, b"y").unwrap();
    let most = ledger.most_released();
    assert_eq!((most.bits, most.encodings, most.without_epsilon), (16, 2, 2));
    ledger.reserve(&[2], RowBlock { rows: &[2], passes: 4 }, &LEARNING).unwrap();
    assert_eq!(ledger.most_released().bits, 32, "what is reserved counts");
}

#[test]
fn a_run_goes_on_as_often_as_the_policy_allows_whoever_opens_the_ledger() {
    let (disk, policy) = (MemoryStore::default(), "resumes_per_run = 2");
    open(&disk, policy).resume("spring").unwrap();
    open(&disk, policy).resume("spring").unwrap();
    let mut ledger = open(&disk, policy);
    let refused = ledger.resume("spring").unwrap_err().to_string();
    assert!(
        refused.contains("resumes_per_run = 2 refuses 4 records: the run was already continued 2 times"),
        "{refused}"
    );
    ledger.resume("autumn").unwrap();
    let report = crate::LedgerReport::of(&disk, &Policy::default()).unwrap().to_string();
    assert!(
        report.contains("spring was continued 2 times\n") && report.contains("autumn was continued once"),
        "{report}"
    );
}
