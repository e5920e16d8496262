//! Holders in threads, and a relay that a test may make malicious.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hashvfl_alignment::identity::{PublicKey, SecretKey};
use hashvfl_alignment::{
    AlignmentError, AlignmentFolder, AlignmentResult, AlignmentSettings, Holder, HolderLimits, Relay,
    RelayError, RelayEvent, Spool,
};
use hashvfl_core::records::order;
use hashvfl_core::{Digest, PartyName};

/// No test waits longer.
pub const WAIT: Duration = Duration::from_secs(60);
pub const MEMORY_BYTES: usize = 1 << 16;

/// What a malicious relay does with a frame: the frames that it passes on in its place.
pub type Meddle = Box<dyn Fn(&str, &str, Vec<u8>) -> Vec<Vec<u8>> + Send>;

#[derive(Default)]
struct State {
    inboxes: BTreeMap<PartyName, Sender<RelayEvent>>,
    frames: Vec<(String, String, Vec<u8>)>,
    meddle: Option<Meddle>,
}

/// A relay in memory; it keeps all that it saw.
#[derive(Clone, Default)]
pub struct RelayHub(Arc<Mutex<State>>);

impl RelayHub {
    pub fn meddling(meddle: Meddle) -> Self {
        let hub = Self::default();
        hub.0.lock().unwrap().meddle = Some(meddle);
        hub
    }

    pub fn frames(&self) -> Vec<(String, String, Vec<u8>)> {
        self.0.lock().unwrap().frames.clone()
    }

    pub fn join(&self, name: &PartyName) -> RelayLink {
        let (inbox, events) = mpsc::channel();
        let mut state = self.0.lock().unwrap();
        for (other, theirs) in &state.inboxes {
            let _ = theirs.send(RelayEvent::Arrived(name.clone()));
            let _ = inbox.send(RelayEvent::Arrived(other.clone()));
        }
        state.inboxes.insert(name.clone(), inbox);
        RelayLink { hub: self.clone(), name: name.clone(), events, frames_left: None }
    }

    /// Asks the process of `name`, which is there, to end.
    pub fn ask_to_end(&self, name: &PartyName) {
        let _ = self.0.lock().unwrap().inboxes[name].send(RelayEvent::AskedToEnd);
    }

    /// Tells all who are there that `name` has given up.
    pub fn give_up(&self, name: &PartyName) {
        for inbox in self.0.lock().unwrap().inboxes.values() {
            let _ = inbox.send(RelayEvent::GaveUp(name.clone()));
        }
    }
}

/// One holder's end.
pub struct RelayLink {
    hub: RelayHub,
    name: PartyName,
    events: Receiver<RelayEvent>,
    /// After so many frames the connection breaks, as if the process had been killed.
    pub frames_left: Option<u32>,
}

impl Relay for RelayLink {
    fn receive(&mut self, wait: Duration) -> Result<Option<RelayEvent>, RelayError> {
        match self.events.recv_timeout(wait) {
            Ok(event) => Ok(Some(event)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(RelayError("the relay is gone".into())),
        }
    }

    fn send(&mut self, to: &PartyName, frame: Vec<u8>) -> Result<(), RelayError> {
        if let Some(left) = &mut self.frames_left {
            *left = left.checked_sub(1).ok_or_else(|| RelayError("killed".into()))?;
        }
        let mut state = self.hub.0.lock().unwrap();
        state.frames.push((self.name.to_string(), to.to_string(), frame.clone()));
        let frames = match &state.meddle {
            Some(meddle) => meddle(self.name.as_str(), to.as_str(), frame),
            None => vec![frame],
        };
        if let Some(inbox) = state.inboxes.get(to) {
            frames
                .into_iter()
                .for_each(|frame| drop(inbox.send(RelayEvent::Frame(self.name.clone(), frame))));
        }
        Ok(())
    }
}

impl Drop for RelayLink {
    fn drop(&mut self) {
        let mut state = self.hub.0.lock().unwrap();
        state.inboxes.remove(&self.name);
        for inbox in state.inboxes.values() {
            let _ = inbox.send(RelayEvent::Left(self.name.clone()));
        }
    }
}

/// Folders and keys of an alignment's holders.
pub struct Fixture {
    pub folder: tempfile::TempDir,
    pub settings: AlignmentSettings,
    pub keys: BTreeMap<PartyName, PublicKey>,
    pub tables: BTreeMap<PartyName, Vec<String>>,
    pub wait: Duration,
}

impl Fixture {
    /// Holders `a`, `b`, ... with these ids; the last compares.
    pub fn new(tables: &[Vec<String>]) -> Self {
        let name = |index: usize| PartyName::new(((b'a' + index as u8) as char).to_string()).unwrap();
        let holders: Vec<PartyName> = (0..tables.len()).map(name).collect();
        let names: Vec<String> = holders.iter().map(|holder| format!("{:?}", holder.as_str())).collect();
        let settings = format!(
            "id = \"test\"\nholders = [{}]\ncomparer = {}\nmost_records = 100000",
            names.join(", "),
            names[names.len() - 1]
        );
        let folder = tempfile::tempdir().unwrap();
        let settings: AlignmentSettings = toml::from_str(&settings).unwrap();
        let key = |holder: &PartyName| {
            let key = SecretKey::create(&folder.path().join(format!("{holder}.key"))).unwrap();
            (holder.clone(), key.public())
        };
        let keys = holders.iter().map(key).collect();
        Self {
            settings,
            keys,
            tables: holders.into_iter().zip(tables.iter().cloned()).collect(),
            folder,
            wait: WAIT,
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Prepares a holder that sends `points` in place of its own blinded set, the set of number `set`.
    pub fn rogue(&self, name: &PartyName, set: usize, points: &[[u8; 32]]) {
        let folder = AlignmentFolder::open(&self.path(name.as_str()), &self.settings).unwrap();
        spool(&folder, &self.settings, &self.tables[name]).unwrap();
        folder.begin().unwrap();
        let file = |what: &str, items: &[u8]| {
            let path = self.path(name.as_str()).join(format!("{what}-{set}"));
            std::fs::write(path, item_file(points.len() as u64, items)).unwrap();
        };
        file("places", &(0..points.len() as u32).flat_map(u32::to_le_bytes).collect::<Vec<u8>>());
        file("sorted", points.as_flattened());
    }

    /// One holder's whole run, or what is left of it.
    pub fn run(&self, name: &PartyName, link: RelayLink) -> Result<AlignmentResult, AlignmentError> {
        let folder = AlignmentFolder::open(&self.path(name.as_str()), &self.settings)?;
        if folder.outcome()?.is_none() && !folder.has_begun() {
            spool(&folder, &self.settings, &self.tables[name])?;
            folder.begin()?;
        }
        let key = SecretKey::read(&self.path(&format!("{name}.key")))?;
        let pinned = |other: &PartyName| self.keys.get(other).copied();
        let limits = HolderLimits { wait: self.wait, memory_bytes: MEMORY_BYTES };
        let holder = Holder::new(&self.settings, name, &folder, &key, &pinned, link, limits)?;
        holder.run(&mut |progress| assert!(progress.done <= progress.total, "{progress:?}"))
    }

    /// All holders at once.
    pub fn run_all(&self, hub: &RelayHub) -> Vec<Result<AlignmentResult, AlignmentError>> {
        std::thread::scope(|scope| {
            let start = |name: &PartyName| {
                let (link, name) = (hub.join(name), name.clone());
                scope.spawn(move || self.run(&name, link))
            };
            let threads: Vec<_> = self.settings.holders.iter().map(start).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        })
    }

    /// The ids of a holder's order file, as all holders write them.
    pub fn order(&self, name: &PartyName) -> Vec<String> {
        read_order(&self.path(name.as_str()).join("order.csv"))
    }

    /// What a plain intersection gives.
    pub fn expected(&self) -> Vec<String> {
        let mut tables = self.tables.values();
        let mut common = tables.next().unwrap().clone();
        for table in tables {
            let table: std::collections::HashSet<&String> = table.iter().collect();
            common.retain(|id| table.contains(id));
        }
        let digest = self.settings.digest();
        common.sort_by_key(|id| hashvfl_alignment::key::digest(&digest, id));
        common
    }
}

/// Bytes of a digest in a file of items.
pub const DIGEST_BYTES: usize = 16;
/// Bytes before the first item.
pub const HEADER_BYTES: usize = 8 + DIGEST_BYTES;
/// Bytes of a whole chunk's items, of every size that is used here.
pub const CHUNK_BYTES: usize = 64_000;

/// A file of so many items, as an alignment keeps it: their number, its digest, and chunks, each before its digest.
fn item_file(total: u64, items: &[u8]) -> Vec<u8> {
    let (count, item_bytes) = (total.to_le_bytes(), items.len() as u64 / total);
    let first = |digest: Digest| digest.0[..DIGEST_BYTES].to_vec();
    let header = Digest::of_parts([count.as_slice(), &item_bytes.to_le_bytes()]);
    let mut file = [count.as_slice(), &first(header)].concat();
    for (index, chunk) in (0_u64..).zip(items.chunks(CHUNK_BYTES)) {
        let place = [count, index.to_le_bytes()];
        file.extend(chunk);
        file.extend(first(Digest::of_parts([place.as_flattened(), chunk])));
    }
    file
}

/// The items of such a file, one behind another.
pub fn items_of(file: &[u8]) -> Vec<u8> {
    let chunks = file[HEADER_BYTES..].chunks(CHUNK_BYTES + DIGEST_BYTES);
    chunks.flat_map(|chunk| &chunk[..chunk.len() - DIGEST_BYTES]).copied().collect()
}

pub fn spool(
    folder: &AlignmentFolder,
    settings: &AlignmentSettings,
    ids: &[String],
) -> Result<(), AlignmentError> {
    let mut spool = Spool::new(folder, settings, MEMORY_BYTES)?;
    ids.iter().try_for_each(|id| spool.push(id))?;
    spool.finish(None)
}

pub fn read_order(path: &Path) -> Vec<String> {
    let file = std::fs::read(path).unwrap();
    let lines = order::verified(&file).expect("the digest at the end is that of the lines before it");
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(lines);
    let lines = reader.records().map(|line| line.unwrap()).skip(2);
    lines.map(|line| line.get(line.len() - 1).unwrap().to_string()).collect()
}

/// Ids `from..to`, in an order that is no other table's.
pub fn ids(from: u32, to: u32, seed: u32) -> Vec<String> {
    let mut ids: Vec<u32> = (from..to).collect();
    ids.sort_by_key(|id| (id ^ seed).wrapping_mul(2_654_435_761));
    ids.into_iter().map(|id| format!("id-{id}")).collect()
}
