//! What strangers do, how many of them there are and how often they come.

use clap::ValueEnum;
use hashvfl_testbed::strangers::{
    FIRST_WINDOW, HALF_GREETING, JOIN, PREDICT, announced, client_hello, data, long_message, stream,
};

/// What a stranger does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Stranger {
    /// Connects and says nothing.
    Idle,
    /// Stops in the middle of a greeting.
    HalfGreeting,
    /// Greets, lets the coordinator make a key and sign, and says nothing more.
    ClientHello,
    /// Shows a certificate of another authority.
    ForeignCertificate,
    /// Sends a byte of a greeting each second.
    SlowGreeting,
    /// Begins a message of 38 MiB of empty settings.
    EmptySettings,
    /// Holds a message open of which one byte is missing.
    OneByteShort,
    /// Announces 40 MiB in five bytes.
    Announced,
    /// Sends a byte of a message each second.
    SlowMessage,
    /// Is refused, and comes back.
    Refused,
    /// Asks for predictions of 20 million empty ids.
    EmptyIds,
}

/// Whom strangers meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// A coordinator that trains, over TLS.
    TrainingOverTls,
    /// A coordinator that trains, in plain text.
    Training,
    /// A coordinator that serves predictions, in plain text.
    Serving,
}

/// How many of a kind there are.
#[derive(Debug, Clone, Copy)]
pub struct Crowding {
    /// Connections that they hold open.
    pub held: usize,
    /// Connections that they open each second at most: until all are there, for those that were closed, and, of a kind that
    /// comes back, in any case.
    pub per_second: f64,
    /// Whether they come back without having been closed.
    pub comes_back: bool,
}

impl Stranger {
    /// Its name on the command line.
    pub fn name(self) -> String {
        // None is hidden.
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_string())
    }

    /// Whom it meets.
    pub fn target(self) -> Target {
        match self {
            Self::Idle
            | Self::HalfGreeting
            | Self::ClientHello
            | Self::ForeignCertificate
            | Self::SlowGreeting => Target::TrainingOverTls,
            Self::EmptySettings
            | Self::OneByteShort
            | Self::Announced
            | Self::SlowMessage
            | Self::Refused => Target::Training,
            Self::EmptyIds => Target::Serving,
        }
    }

    /// How many there are. Silence is closed after 10 s and a message that does not become whole after 60 s: at these rates all
    /// of them are there at any time, once all have come.
    pub fn crowding(self) -> Crowding {
        let held = |held, per_second| Crowding { held, per_second, comes_back: false };
        let coming = |per_second| Crowding { held: 16, per_second, comes_back: true };
        match self {
            Self::Idle => held(5000, 500.0),
            Self::HalfGreeting | Self::ClientHello => held(1000, 100.0),
            Self::SlowGreeting | Self::SlowMessage => held(100, 10.0),
            Self::OneByteShort => held(60, 10.0),
            Self::ForeignCertificate | Self::EmptySettings => coming(20.0),
            Self::Announced => coming(60.0),
            Self::Refused => coming(100.0),
            Self::EmptyIds => coming(20.0),
        }
    }

    /// What it sends at once.
    pub fn opening(self) -> Vec<u8> {
        match self {
            Self::Idle | Self::ForeignCertificate | Self::SlowGreeting => Vec::new(),
            Self::HalfGreeting => HALF_GREETING.to_vec(),
            Self::ClientHello => client_hello(),
            Self::EmptySettings => long_message(JOIN, 38 << 20, [0x22, 0]),
            Self::OneByteShort => {
                let bytes = FIRST_WINDOW - 100;
                joining(&[announced(bytes as u32), vec![0; bytes - 1]].concat())
            }
            Self::Announced => joining(&announced(40 << 20)),
            Self::SlowMessage => joining(&announced(1000)),
            // A greeting without a name.
            Self::Refused => joining(&[announced(2), vec![0x0a, 0]].concat()),
            Self::EmptyIds => long_message(PREDICT, 40_000_000, [0x0a, 0]),
        }
    }

    /// What it sends in the second of this number.
    pub fn dripping(self, second: usize) -> Vec<u8> {
        match self {
            Self::SlowGreeting => client_hello().get(second).map_or_else(Vec::new, |byte| vec![*byte]),
            Self::SlowMessage => data(&[0]),
            _ => Vec::new(),
        }
    }
}

/// A stream of a party with these bytes of messages.
fn joining(messages: &[u8]) -> Vec<u8> {
    [stream(JOIN), data(messages)].concat()
}
