use std::sync::Arc;

use hashvfl_files::encryption::{EncryptionKey, protect};
use redb::{Builder, Database, ReadableDatabase, TableDefinition};

use super::*;

const TABLE: TableDefinition<u64, &[u8]> = TableDefinition::new("accounts");

/// What reached the disk of a machine, write by write.
#[derive(Debug, Clone)]
enum Event {
    Write(u64, Vec<u8>),
    Length(u64),
    Synced,
}

/// A disk that remembers all that was done to it.
#[derive(Debug, Clone, Default)]
struct Disk {
    bytes: Arc<Mutex<Vec<u8>>>,
    events: Arc<Mutex<Vec<Event>>>,
}

impl Disk {
    fn of(bytes: Vec<u8>) -> Self {
        Self { bytes: Arc::new(Mutex::new(bytes)), events: Arc::default() }
    }

    fn note(&self, event: Event) {
        apply(&mut self.bytes.lock().unwrap(), &event);
        self.events.lock().unwrap().push(event);
    }
}

fn apply(bytes: &mut Vec<u8>, event: &Event) {
    match event {
        Event::Write(offset, data) => bytes[*offset as usize..][..data.len()].copy_from_slice(data),
        Event::Length(length) => bytes.resize(*length as usize, 0),
        Event::Synced => {}
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.bytes.lock().unwrap().len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let bytes = self.bytes.lock().unwrap();
        let found = bytes.get(offset as usize..offset as usize + out.len());
        out.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.note(Event::Length(len));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.note(Event::Synced);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.note(Event::Write(offset, data.to_vec()));
        Ok(())
    }
}

/// A cipher's header, and that cipher as often as one likes.
fn header() -> (Vec<u8>, impl Fn() -> BlockCipher) {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    EncryptionKey::draw(&key).unwrap();
    let path = folder.path().join("ledger.redb");
    protect(&path, &Arc::new(EncryptionKey::read(&key).unwrap())).unwrap();
    let mut header = Vec::new();
    BlockCipher::begin(&path, &mut header).unwrap().unwrap();
    std::fs::write(&path, &header).unwrap();
    (header, move || {
        let _kept = &folder;
        BlockCipher::of(&path).unwrap().unwrap()
    })
}

fn builder() -> Builder {
    let mut builder = Database::builder();
    builder.set_check_integrity_on_open(true);
    builder
}

/// The number of entries of the database on a disk of these bytes: each transaction adds one.
fn entries(bytes: Vec<u8>, cipher: BlockCipher) -> u64 {
    let database = builder().create_with_backend(Encrypted::new(Disk::of(bytes), cipher)).unwrap();
    let transaction = database.begin_read().unwrap();
    let Ok(table) = transaction.open_table(TABLE) else { return 0 };
    let mut count = 0;
    while table.get(count).unwrap().is_some_and(|value| value.value() == vec![count as u8; 3000]) {
        count += 1;
    }
    count
}

#[test]
fn a_disk_that_stops_at_any_write_or_in_its_middle_holds_what_was_committed() {
    let (header, cipher) = header();
    let disk = Disk::of(header.clone());
    let database = builder().create_with_backend(Encrypted::new(disk.clone(), cipher())).unwrap();
    let made = disk.events.lock().unwrap().len();
    // How many events there were when each commit had returned.
    let mut committed = Vec::new();
    for number in 0..6_u64 {
        let transaction = database.begin_write().unwrap();
        transaction.open_table(TABLE).unwrap().insert(number, vec![number as u8; 3000].as_slice()).unwrap();
        transaction.commit().unwrap();
        committed.push(disk.events.lock().unwrap().len());
    }
    let events = disk.events.lock().unwrap().clone();
    let (mut bytes, mut looked_at) = (header, 0);
    for (at, event) in events.iter().enumerate() {
        if at >= made {
            let least = committed.iter().filter(|end| **end <= at).count() as u64;
            let mut cuts = vec![0];
            if let Event::Write(_, data) = event {
                cuts.extend([SECTOR_BYTES, data.len() / 2 / SECTOR_BYTES * SECTOR_BYTES]);
            }
            for cut in cuts {
                let mut torn = bytes.clone();
                if let Event::Write(offset, data) = event {
                    apply(&mut torn, &Event::Write(*offset, data[..cut.min(data.len())].to_vec()));
                }
                let found = entries(torn, cipher());
                assert!(
                    (least..=least + 1).contains(&found),
                    "{found} entries at event {at}, {least} committed"
                );
                looked_at += 1;
            }
        }
        apply(&mut bytes, event);
    }
    assert!(looked_at > 60, "{looked_at} disks were looked at");
    assert_eq!(entries(bytes, cipher()), 6);
}

#[test]
fn bytes_are_found_again_wherever_they_begin_and_what_was_never_written_is_zeros() {
    let (header, cipher) = header();
    let disk = Disk::of(header);
    let file = Encrypted::new(disk.clone(), cipher());
    file.set_len(8 * SECTOR).unwrap();
    let mut expected = vec![0; 8 * SECTOR_BYTES];
    let read = |file: &Encrypted<Disk>, offset: usize, count: usize| {
        let mut out = vec![9; count];
        file.read(offset as u64, &mut out).unwrap();
        out
    };
    assert_eq!(read(&file, 0, 8 * SECTOR_BYTES), expected);
    for (offset, count) in [(0, 320), (512, 1024), (700, 3), (1000, 1100), (4095, 1), (0, 4096), (2050, 500)]
    {
        let data: Vec<u8> = (0..count).map(|at| (at * 7 + offset) as u8 | 1).collect();
        file.write(offset as u64, &data).unwrap();
        expected[offset..offset + count].copy_from_slice(&data);
        assert_eq!(read(&file, 0, 8 * SECTOR_BYTES), expected);
        assert_eq!(read(&file, offset, count), data);
        let raw = disk.bytes.lock().unwrap().clone();
        assert!(!raw.windows(16).any(|window| data.windows(16).any(|plain| plain == window)));
    }
    assert!(file.read(8 * SECTOR - 4, &mut [0; 8]).is_err(), "behind the end");
    assert!(file.set_len(100).is_err());
    // The same bytes once more change nothing on disk: a torn write has nothing to tear there.
    let before = disk.bytes.lock().unwrap().clone();
    file.write(0, &expected).unwrap();
    assert_eq!(*disk.bytes.lock().unwrap(), before);
}
