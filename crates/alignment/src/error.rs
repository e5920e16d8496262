//! Why an alignment cannot go on. Nothing here holds an id or a key.

use std::path::{Path, PathBuf};

use hashvfl_core::{PartyName, text};

use crate::curve::BadPoint;

/// Why an alignment ends without a result.
#[derive(Debug, thiserror::Error)]
pub enum AlignmentError {
    /// A setting is out of its range.
    #[error("alignment settings: {0}")]
    Settings(String),
    /// A file cannot be read or written.
    #[error("cannot {what} {path}: {source}")]
    Io {
        /// "read", "write", ...
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file of the folder is not what this program wrote.
    #[error(
        "{0} is damaged: all holders must start over, in a new folder and with a new alignment.settings.id. An \
         order.csv in the same folder has its own digest and can still be used"
    )]
    Damaged(PathBuf),
    /// The folder is of an alignment that an earlier version began and that is not over.
    #[error(
        "{0} holds an alignment that an earlier version of this program started: finish it with that version, or \
         start over at all holders, in a new folder and with a new alignment.settings.id"
    )]
    EarlierVersion(PathBuf),
    /// A file cannot be written whole.
    #[error(transparent)]
    Write(#[from] hashvfl_files::WriteError),
    /// The folder belongs to another alignment.
    #[error("{0} holds another alignment, or one with other settings: choose another folder")]
    OtherAlignment(PathBuf),
    /// The folder is not the alignment's own.
    #[error("{0} is in the alignment's folder, which may hold nothing else: choose a new or an empty folder")]
    Foreign(PathBuf),
    /// Another process works in the folder.
    #[error("{0} is in use by another process")]
    InUse(PathBuf),
    /// A record without an id.
    #[error("record {row} has no id after normalisation: every record needs one")]
    NoId {
        /// Its number in the table, from 1.
        row: u64,
    },
    /// Records that repeat an id.
    #[error(
        "{} with the same normalised id as another record: keep one record per id",
        text::counted(.count, "record")
    )]
    Duplicates {
        /// How many, beyond the first of each.
        count: u64,
    },
    /// No record at all.
    #[error("the table holds no records")]
    Empty,
    /// More records than agreed.
    #[error("the table holds more than the {most} records that most_records allows")]
    TooMany {
        /// The agreed limit.
        most: u64,
    },
    /// A key file that is none.
    #[error("{0} does not hold a key: `keygen` creates one")]
    Key(PathBuf),
    /// A peer without a pinned key.
    #[error(
        "the policy pins no key of {0}: ask {0} for its public key over another channel, such as the phone, and pin \
         it with `party pin --config FILE {0}=KEY`, or `coordinator pin` at the label holder"
    )]
    NotPinned(PartyName),
    /// A policy that cannot be read.
    #[error(transparent)]
    Policy(#[from] hashvfl_ledger::PolicyError),
    /// A peer that is pinned under this holder's own key.
    #[error("the key that the policy pins for {0} is this holder's own: ask {0} for its public key")]
    OwnKey(PartyName),
    /// A peer broke the protocol, or the relay its seal.
    #[error("{peer}: {fault}")]
    Peer {
        /// Under whose name it came.
        peer: PartyName,
        /// What is wrong.
        fault: PeerFault,
    },
    /// A peer cannot go on.
    #[error("{peer} has stopped{absent}; its own log says why. Mend that, then start all holders again")]
    Stopped {
        /// Who.
        peer: PartyName,
        /// Others that were not there, in words.
        absent: String,
    },
    /// Too few records in common.
    #[error(
        "the holders have {} in common, but an order needs at least {least} (the policy's least_common): no order was \
         written. All holders must write an id alike: 7, 7.0 and 007 are three different ids",
        text::counted(.common, "record")
    )]
    TooFew {
        /// Records in common.
        common: u64,
        /// The policy's bound, or 1.
        least: u64,
    },
    /// The same, as an earlier version wrote it down.
    #[error(
        "an earlier version recorded {common} common records for {order}, but an order needs at least {least} (the \
         policy's least_common): if that number is right, remove {order}; if the file holds more records, the \
         recorded number is damaged"
    )]
    TooFewUnchecked {
        /// The order, which stays.
        order: PathBuf,
        /// Records in common, if nothing has changed on disk.
        common: u64,
        /// The policy's bound, or 1.
        least: u64,
    },
    /// Nothing came for too long.
    #[error(
        "waited {seconds} s for {missing}: is it running? Start the same command again: the alignment continues where \
         it stopped"
    )]
    Silent {
        /// The limit.
        seconds: u64,
        /// Who.
        missing: String,
    },
    /// Somebody asked this process to end.
    #[error("this process was asked to end")]
    AskedToEnd,
    /// The relay gave up.
    #[error("{0}")]
    Relay(#[from] RelayError),
}

/// Why a relay cannot be used any more; one line for a person.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct RelayError(pub String);

/// What is wrong with what came under a peer's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PeerFault {
    /// A handshake that the pinned keys do not open.
    #[error(
        "its handshake does not match the pinned keys and the settings: it uses another key or other settings, it \
         pins another key of this holder, or someone is in between"
    )]
    Handshake,
    /// A sealed frame that opens under a later number than the next.
    #[error("encrypted frames from it are missing: they were altered, dropped or reordered on the way")]
    Seal,
    /// A frame or message that is none.
    #[error("a message is malformed")]
    Message,
    /// A message that is not its sender's to send.
    #[error("a message violates the protocol")]
    Unexpected,
    /// A chunk that is not the next.
    #[error("chunk {found} arrived, but chunk {expected} was expected: a chunk was repeated or dropped")]
    Order {
        /// The next chunk.
        expected: u32,
        /// The one that came.
        found: u32,
    },
    /// A set beyond the agreed size.
    #[error("its set of {found} records exceeds most_records = {most}")]
    Size {
        /// Its size.
        found: u64,
        /// The limit.
        most: u64,
    },
    /// A set whose size changes.
    #[error("the size of a set changed during the transfer")]
    Resized,
    /// A chunk of the wrong length.
    #[error("a chunk has {found} bytes, but {expected} were expected: the stream was truncated")]
    Length {
        /// Bytes that were due.
        expected: usize,
        /// Bytes that came.
        found: usize,
    },
    /// A bad point.
    #[error("{0}: it does not follow the protocol")]
    Point(#[from] BadPoint),
    /// A point twice.
    #[error("a set holds a point twice")]
    Twice,
    /// Tags out of order.
    #[error("final tags are not sorted")]
    Unsorted,
    /// It stopped.
    #[error("it stopped; its own log says why")]
    Stopped,
}

impl AlignmentError {
    pub(crate) fn io(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { what, path, source }
    }
}
