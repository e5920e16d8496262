//! Every size that a peer can choose has its limit here.

/// Bits of one party's hash code.
pub const MAX_BITS: usize = 1024;
/// Bits of one latent of a code.
pub const MAX_BITS_PER_LATENT: usize = 8;
/// Records of one batch or one evaluation chunk.
pub const MAX_BATCH_ROWS: usize = 65_536;
/// Parties of one run.
pub const MAX_PARTIES: usize = 64;
/// Key/value pairs in a handshake.
pub const MAX_SETTINGS: usize = 128;
/// Bytes of a setting's key.
pub const MAX_KEY_BYTES: usize = 64;
/// Bytes of a setting's value.
pub const MAX_VALUE_BYTES: usize = 1024;
/// Bytes of a run id or a party's name.
pub const MAX_NAME_BYTES: usize = 64;
/// Bytes of a message that a peer wants shown to a person.
pub const MAX_TEXT_BYTES: usize = 2048;
/// Bytes of a sealed frame between two holders of an alignment: a Noise message behind its kind and session.
pub const MAX_SEALED_BYTES: usize = 65_544;
/// Bytes of one encoded message. A gradient of 65,536 records x 128 bits as f32 still fits.
pub const MAX_MESSAGE_BYTES: usize = 40 << 20;
/// Classes of a task that a client is told of.
pub const MAX_CLASSES: usize = 10_000;
/// Bytes of one prediction request.
pub const MAX_REQUEST_BYTES: usize = 16 << 20;
/// Records of one request to a party that serves predictions.
pub const MAX_REQUEST_ROWS: usize = 1 << 20;
/// Records of one message of codes in answer to it; every message but the last holds as many.
pub const CODES_ROWS: usize = 16_384;
/// Bits of a p-value of a party's own detectors.
pub const MAX_P_VALUE_BITS: u32 = 4;
/// Exponent of the step between such p-values: their least is 2^-15 for a flag.
pub const MAX_P_VALUE_STEP: u32 = 15;
/// Record ids of one prediction request.
pub const MAX_PREDICT_IDS: usize = 1 << 18;
/// Checkpoints that a party names in its handshake.
pub const MAX_CHECKPOINTS: usize = 8;
/// Bytes of a signature of the head of an audit log.
pub const MAX_SIGNATURE_BYTES: usize = 2048;
