//! A policy of B bits is never exceeded and nothing is under-counted, in 1,000 random schedules of runs, batches,
//! replays and restarts, each repeated with a kill before and after each of its durable writes.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use hashvfl_core::random::stream;
use hashvfl_core::{CanonicalId, Digest, TableIds};
use hashvfl_files::encryption::{EncryptionKey, protect};
use hashvfl_ledger::{
    Account, Accounts, AnswerKey, AnswerName, Cost, EncoderIdentity, Flow, FlowKind, KeptAnswer, Ledger,
    LedgerError, LedgerOptions, LedgerWrite, MemoryStore, Policy, RecordKey, RedbStore, ReleaseDigest,
    RowBlock, Salt, Store, StoreError, Volume,
};
use rand::Rng;

const RECORDS: u32 = 12;
const MOST_BITS: u64 = 20;

/// When a process dies: at the `at`-th durable write of a schedule, before or after it takes effect.
#[derive(Debug, Clone, Copy)]
struct Kill {
    at: u32,
    after: bool,
}

/// The durable writes of a schedule, counted over its processes.
struct Writes {
    count: Cell<u32>,
    kill: Option<Kill>,
    at_death: Rc<dyn Fn()>,
}

impl Writes {
    fn new(kill: Option<Kill>, at_death: Rc<dyn Fn()>) -> Self {
        Self { count: Cell::default(), kill, at_death }
    }

    /// Does one, unless its process dies first.
    fn write(&self, write: impl FnOnce() -> Result<(), StoreError>) -> Result<(), StoreError> {
        let number = self.count.replace(self.count.get() + 1);
        let dies = self.kill.filter(|kill| kill.at == number);
        if dies.is_none_or(|kill| kill.after) {
            write()?;
        }
        if dies.is_none() {
            return Ok(());
        }
        (self.at_death)();
        Err(StoreError::Io { what: "write", path: "ledger".into(), reason: "killed".into() })
    }
}

/// A store that reads from `disk`, and hands what is to be written to `write`.
struct WritesThrough<S, W> {
    disk: S,
    write: W,
}

impl<S: Store, W: FnMut(&mut S, LedgerWrite<'_>) -> Result<(), StoreError>> WritesThrough<S, W> {
    fn new(disk: S, write: W) -> Self {
        Self { disk, write }
    }
}

impl<S: Store, W> Accounts for WritesThrough<S, W> {
    fn salt(&self) -> Salt {
        self.disk.salt()
    }

    fn scan(&self, each: &mut dyn FnMut(RecordKey, Account)) -> Result<(), StoreError> {
        self.disk.scan(each)
    }
}

impl<S: Store, W: FnMut(&mut S, LedgerWrite<'_>) -> Result<(), StoreError>> Store for WritesThrough<S, W> {
    fn flows(&self) -> Result<BTreeMap<Flow, Volume>, StoreError> {
        self.disk.flows()
    }

    fn answers(&self, keys: &[AnswerKey]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        self.disk.answers(keys)
    }

    fn write(&mut self, changes: LedgerWrite) -> Result<(), StoreError> {
        (self.write)(&mut self.disk, changes)
    }

    fn forget(&mut self, records: &[RecordKey]) -> Result<u64, StoreError> {
        self.disk.forget(records)
    }
}

type Pending = (BTreeMap<RecordKey, Option<Account>>, Vec<(AnswerKey, Vec<u8>)>);

/// One process's part of a schedule.
struct Life {
    bits: u32,
    /// Passes that one durable write reserves.
    ahead: u32,
    passes: Vec<Pass>,
    closes: bool,
}

/// Batches over some records by one encoder.
struct Pass {
    encoder: EncoderIdentity,
    batches: Vec<Vec<u32>>,
    /// The batch before whose sending the process dies.
    lost: Option<usize>,
    /// Whether the bytes differ from those of other lives: noise, or a frozen encoder on another device.
    varies: bool,
    /// Whether bits are flipped, so that a frozen encoder's answers are kept.
    flips: bool,
}

fn schedule(seed: u64) -> Vec<Life> {
    let mut rng = stream(seed, "schedule", &[]);
    let mut draw = move |below: u32| rng.next_u32() % below;
    let lives = 2 + draw(3);
    let pass = |draw: &mut dyn FnMut(u32) -> u32| {
        let frozen = draw(2) == 0;
        let digest = Digest([1 + draw(3) as u8; 32]);
        let start = draw(RECORDS);
        let rows: Vec<u32> = (0..1 + draw(RECORDS)).map(|row| (start + row) % RECORDS).collect();
        let batches = rows.chunks(1 + draw(6) as usize).map(<[u32]>::to_vec).collect();
        let lost = (draw(6) == 0).then(|| draw(3) as usize);
        let varies = draw(if frozen { 5 } else { 2 }) == 0;
        let flips = frozen && draw(2) == 0;
        // With flips no encoder repeats itself.
        Pass { encoder: EncoderIdentity { digest, frozen: frozen && !flips }, batches, lost, varies, flips }
    };
    let life = |draw: &mut dyn FnMut(u32) -> u32| {
        let passes = (0..1 + draw(4)).map(|_| pass(draw)).collect();
        Life { bits: 1 + draw(9), ahead: 1 + draw(3), passes, closes: draw(3) > 0 }
    };
    (0..lives).map(|_| life(&mut draw)).collect()
}

/// What went out in truth.
#[derive(Default)]
struct Sent {
    seen: HashSet<(u32, bool, [u8; 32], Vec<u8>)>,
    bits: HashMap<u32, u64>,
}

impl Sent {
    fn send(&mut self, row: u32, encoder: &EncoderIdentity, bytes: Vec<u8>, bits: u32) {
        if self.seen.insert((row, encoder.frozen, encoder.digest.0, bytes)) {
            *self.bits.entry(row).or_default() += u64::from(bits);
        }
    }

    /// The first promise that is broken, if one is.
    fn broken(&self, disk: &impl Store) -> Option<String> {
        let salt = disk.salt();
        let mut counted = HashMap::new();
        disk.scan(&mut |key, account| counted.extend([(key, account.bits)])).unwrap();
        (0..RECORDS).find_map(|row| {
            let sent = self.bits.get(&row).copied().unwrap_or_default();
            let key = RecordKey::of(&salt, &CanonicalId::of(&format!("r{row}"), 1));
            let counted = counted.get(&key).copied().unwrap_or_default();
            let exceeded = (sent > MOST_BITS).then(|| format!("{sent} bits sent, {MOST_BITS} allowed"));
            exceeded.or((counted < sent).then(|| format!("{sent} bits sent, {counted} counted")))
        })
    }
}

/// Plays one life to its end or its process's death.
fn live<S: Store>(
    life: &Life,
    nonce: u8,
    store: S,
    sent: &mut Sent,
    mut after_sending: impl FnMut() -> Result<(), StoreError>,
) -> Result<(), LedgerError> {
    let ids: Vec<String> = (0..RECORDS).map(|row| format!("r{row}")).collect();
    let policy = Policy { bits_per_record: Some(MOST_BITS), ..Policy::default() };
    let cost = Cost { bits: life.bits, epsilon: None };
    let terms = LedgerOptions { policy, flows: vec![(Flow::new("run", FlowKind::Codes), cost)] };
    let mut ledger = Ledger::open(store, TableIds { ids: &ids, key_columns: 1 }, &[], terms)?;
    for pass in &life.passes {
        if pass.flips {
            if !answer(life, pass, nonce, &mut ledger, sent, &mut after_sending)? {
                return Ok(());
            }
            continue;
        }
        let (encoder, block) = (&pass.encoder, pass.batches.concat());
        for (index, batch) in pass.batches.iter().enumerate() {
            let bytes = |row: u32| vec![life.bits as u8, row as u8, if pass.varies { nonce } else { 0 }];
            let digests: Vec<_> = batch.iter().map(|row| ReleaseDigest::of(encoder, &bytes(*row))).collect();
            let allowed = ledger.reserve(batch, RowBlock { rows: &block, passes: life.ahead }, encoder);
            match allowed.and_then(|()| ledger.release(batch, encoder, &digests)) {
                Err(LedgerError::Refused(_)) => break,
                other => other?,
            }
            if pass.lost == Some(index) {
                return Ok(());
            }
            batch.iter().for_each(|row| sent.send(*row, encoder, bytes(*row), life.bits));
            after_sending()?;
        }
    }
    if life.closes {
        ledger.settle()?;
        after_sending()?;
    }
    Ok(())
}

/// A pass of a frozen encoder with flips: what is kept is sent again, the rest is drawn anew. False where it is lost.
fn answer<S: Store>(
    life: &Life,
    pass: &Pass,
    nonce: u8,
    ledger: &mut Ledger<S>,
    sent: &mut Sent,
    after_sending: &mut impl FnMut() -> Result<(), StoreError>,
) -> Result<bool, LedgerError> {
    let (encoder, salt) = (&pass.encoder, ledger.salt());
    let name = |row: u32| AnswerName::of(&salt, &encoder.digest, &[row as f32, life.bits as f32]);
    for (index, batch) in pass.batches.iter().enumerate() {
        let names: Vec<AnswerName> = batch.iter().map(|row| name(*row)).collect();
        let kept = ledger.kept(batch, &names)?;
        let fresh: Vec<u32> =
            batch.iter().zip(&kept).filter(|(_, kept)| kept.is_none()).map(|(row, _)| *row).collect();
        // No two draws are the same: a draw in vain must not come again for nothing.
        let bytes = |row: u32| vec![b'f', life.bits as u8, row as u8, nonce, index as u8];
        let answer = |row: &u32| KeptAnswer {
            name: name(*row),
            release: ReleaseDigest::of(encoder, &bytes(*row)),
            bytes: bytes(*row),
        };
        let answers = fresh.iter().map(answer).collect();
        let allowed = ledger.allow(&fresh, batch.len()).map_err(LedgerError::from);
        match allowed.and_then(|()| ledger.keep(&fresh, encoder, answers)) {
            Err(LedgerError::Refused(_)) => break,
            other => other?,
        }
        if pass.lost == Some(index) {
            return Ok(false);
        }
        let answers = batch.iter().zip(kept).map(|(row, kept)| (*row, kept.unwrap_or_else(|| bytes(*row))));
        answers.for_each(|(row, bytes)| sent.send(row, encoder, bytes, life.bits));
        after_sending()?;
    }
    Ok(true)
}

/// Plays a schedule with at most one kill, after which the next life begins; its durable writes, and what was
/// broken.
fn play<S: Store>(lives: &[Life], writes: &Writes, open: impl Fn() -> S) -> (u32, Option<String>) {
    let mut sent = Sent::default();
    let broken = lives.iter().zip(1..).filter_map(|(life, nonce)| {
        let store = WritesThrough::new(open(), |disk, changes| writes.write(|| disk.write(changes)));
        let _ = live(life, nonce, store, &mut sent, || Ok(()));
        sent.broken(&open())
    });
    let broken = broken.last();
    (writes.count.get(), broken)
}

/// The same by a ledger that counts after sending: its writes return at once, and are done when something was sent.
fn play_behind(lives: &[Life], kill: Option<Kill>) -> (u32, Option<String>) {
    let (disk, writes) = (MemoryStore::new([1; 32]), Writes::new(kill, Rc::new(|| {})));
    let mut sent = Sent::default();
    let broken = lives.iter().zip(1..).filter_map(|(life, nonce)| {
        let pending = RefCell::new(Pending::default());
        let store = WritesThrough::new(disk.clone(), |_, changes| {
            let mut pending = pending.borrow_mut();
            pending.0.extend(changes.accounts);
            pending.1.extend(changes.answers.iter().cloned());
            Ok(())
        });
        let mut disk = disk.clone();
        let _ = live(life, nonce, store, &mut sent, || {
            let (accounts, answers) = pending.take();
            let (accounts, flows) = (&mut accounts.into_iter(), &BTreeMap::new());
            writes.write(|| disk.write(LedgerWrite { accounts, flows, answers: &answers }))
        });
        sent.broken(&disk)
    });
    let broken = broken.last();
    (writes.count.get(), broken)
}

/// Every way to kill a schedule once, and none.
fn kills(writes: u32) -> impl Iterator<Item = Option<Kill>> {
    let at = |at| [false, true].map(|after| Some(Kill { at, after }));
    (0..writes).flat_map(at).chain([None])
}

#[test]
fn no_kill_at_any_write_breaks_a_promise() {
    let mut played = 0;
    for seed in 0..1_000 {
        let lives = schedule(seed);
        let run = |kill| {
            let disk = MemoryStore::new([1; 32]);
            play(&lives, &Writes::new(kill, Rc::new(|| {})), || disk.clone())
        };
        for kill in kills(run(None).0) {
            let (_, broken) = run(kill);
            assert_eq!(broken, None, "schedule {seed}, {kill:?}");
            played += 1;
        }
    }
    assert!(played > 10_000, "{played} plays are no test");
}

#[test]
fn without_reservations_the_same_schedules_break_them() {
    let (mut broken, mut exceeded) = (0, 0);
    for seed in 0..200 {
        let lives = schedule(seed);
        let found: Vec<String> =
            kills(play_behind(&lives, None).0).filter_map(|kill| play_behind(&lives, kill).1).collect();
        broken += usize::from(!found.is_empty());
        exceeded += usize::from(found.iter().any(|text| text.contains("allowed")));
    }
    assert!(broken > 180, "only {broken} of 200 schedules tell a ledger without reservations");
    assert!(exceeded > 10, "only {exceeded} of 200 schedules exceed the policy without reservations");
}

/// Plays schedules with a file in a folder that `prepare` has prepared.
fn play_with_files(prepare: fn(&Path)) {
    for seed in 0..5 {
        let lives = schedule(seed);
        let run = |kill| {
            let folder = tempfile::tempdir().unwrap();
            prepare(folder.path());
            let path = folder.path().to_path_buf();
            let generation = Rc::new(Cell::new(0));
            let file = move |number: u32| path.join(format!("{number}.redb"));
            // The file as the dying process leaves it: what happens to it later is lost.
            let at_death = {
                let (generation, file) = (generation.clone(), file.clone());
                move || {
                    let number = generation.replace(generation.get() + 1);
                    std::fs::copy(file(number), file(number + 1)).unwrap();
                }
            };
            let open = || RedbStore::open_or_create(&file(generation.get())).unwrap();
            play(&lives, &Writes::new(kill, Rc::new(at_death)), open)
        };
        for kill in kills(run(None).0) {
            assert_eq!(run(kill).1, None, "schedule {seed}, {kill:?}");
        }
    }
}

#[test]
fn nor_does_a_kill_of_a_process_with_a_file() {
    play_with_files(|_| {});
}

#[test]
fn nor_does_one_with_an_encrypted_file() {
    play_with_files(|folder| {
        let key = folder.join("at-rest.key");
        EncryptionKey::draw(&key).unwrap();
        protect(folder, &Arc::new(EncryptionKey::read(&key).unwrap())).unwrap();
    });
}
