//! Why an alignment cannot go on. Nothing here holds an id or a key.

use std::path::{Path, PathBuf};

use hashvfl_core::PartyName;

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
        "{0} is damaged: begin again at all holders, in a new folder and under a new id. An order.csv that is beside it has a \
         digest of its own and may be used"
    )]
    Damaged(PathBuf),
    /// The folder is of an alignment that an earlier version began and that is not over.
    #[error(
        "{0} holds an alignment that an earlier version of this program began: finish it with that version, or begin again at \
         all holders, in a new folder and under a new id"
    )]
    EarlierVersion(PathBuf),
    /// A file cannot be written whole.
    #[error(transparent)]
    Write(#[from] hashvfl_files::WriteError),
    /// The folder belongs to another alignment.
    #[error("{0} holds another alignment, or one under other settings: name another folder")]
    OtherAlignment(PathBuf),
    /// The folder is not the alignment's own.
    #[error(
        "{0} is in the folder of the alignment, which has to be the alignment's own: name an empty or a new folder"
    )]
    Foreign(PathBuf),
    /// Another process works in the folder.
    #[error("{0} is in use by another process")]
    InUse(PathBuf),
    /// A record without an id.
    #[error("record {row} has no id once it is normalised: every record needs one")]
    NoId {
        /// Its number in the table, from 1.
        row: u64,
    },
    /// Records that repeat an id.
    #[error(
        "{count} records repeat the id of another record, as the agreed normalisation writes it: keep one of each"
    )]
    Duplicates {
        /// How many, beyond the first of each.
        count: u64,
    },
    /// No record at all.
    #[error("the table holds no record")]
    Empty,
    /// More records than agreed.
    #[error("the table holds more than the {most} records that most_records allows")]
    TooMany {
        /// The agreed limit.
        most: u64,
    },
    /// A key file that is none.
    #[error("{0} holds no key: `keygen` writes one")]
    Key(PathBuf),
    /// A peer without a pinned key.
    #[error(
        "the policy pins no key of {0}: ask {0} for it over another channel, such as the phone, and pin it: `pin --config FILE {0}=KEY`"
    )]
    NotPinned(PartyName),
    /// A policy that cannot be read.
    #[error(transparent)]
    Policy(#[from] hashvfl_ledger::PolicyError),
    /// A peer that is pinned under this holder's own key.
    #[error("the policy pins this holder's own key as that of {0}: ask {0} for its key")]
    OwnKey(PartyName),
    /// A peer broke the protocol, or the relay its seal.
    #[error("{peer}: {fault}")]
    Peer {
        /// Under whose name it came.
        peer: PartyName,
        /// What is wrong.
        fault: Fault,
    },
    /// A peer cannot go on.
    #[error("{peer} has stopped{absent}: its own log says why; start all holders again when that is mended")]
    Stopped {
        /// Who.
        peer: PartyName,
        /// Others that were not there, in words.
        absent: String,
    },
    /// Too few records in common.
    #[error(
        "{common} records are common to all holders, fewer than the {least} of which an order may be kept: none is kept"
    )]
    TooFew {
        /// Records in common.
        common: u64,
        /// The policy's bound, or 1.
        least: u64,
    },
    /// The same, as an earlier version wrote it down.
    #[error(
        "an earlier version noted {common} records in common beside {order}, fewer than the {least} of which an order may be \
         kept: if that is right, remove {order}; if it holds more, that note is damaged"
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
    #[error("waited {seconds} s for {missing}: is it up? Start again: the alignment goes on where it was")]
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
    Relay(#[from] crate::protocol::relay::RelayError),
}

/// What is wrong with what came under a peer's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A handshake that the pinned keys do not open.
    #[error(
        "its handshake does not fit the pinned keys and settings: another key, another policy, or somebody in between"
    )]
    Handshake,
    /// A sealed frame that opens under a later number than the next.
    #[error(
        "frames that it has sealed are missing: they were altered, left out or put in another order on the way"
    )]
    Seal,
    /// A frame or message that is none.
    #[error("a message is malformed")]
    Message,
    /// A message that is not its sender's to send.
    #[error("a message does not fit the protocol")]
    Unexpected,
    /// A chunk that is not the next.
    #[error("chunk {found} came where {expected} was due: the same chunk twice, or one left out")]
    Order {
        /// The next chunk.
        expected: u32,
        /// The one that came.
        found: u32,
    },
    /// A set beyond the agreed size.
    #[error("its set of {found} is larger than the {most} that most_records allows")]
    Size {
        /// Its size.
        found: u64,
        /// The limit.
        most: u64,
    },
    /// A set whose size changes.
    #[error("the size of a set changed on the way")]
    Resized,
    /// A chunk of the wrong length.
    #[error("a chunk has {found} bytes where {expected} were due: the stream was cut")]
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
    #[error("final tags are not in their order")]
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
