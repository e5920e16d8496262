//! Encryption at rest: files of places that have a key.
//!
//! Whoever reads a config file says once which places have a key ([`protect`]). From then on every file that is written
//! there, by whatever part of the program, is encrypted, and every file that is read there must be. So no writer can forget
//! it, and a file in plain text never passes for one that is not.
//!
//! ```text
//!  header, 36 bytes:  "HVFLENC1" | form, 1 byte | which key, 8 bytes | random, 19 bytes
//!  whole    header | chunks of 65,536 bytes and a tag of 16; XChaCha20-Poly1305 in the STREAM construction
//!  growing  header | records: length, 4 bytes | nonce, 24 bytes | content | tag, 16 bytes; XChaCha20-Poly1305
//!  blocks   header, zeros up to 4,096 bytes | sectors of 512 bytes; AES-256 in XTS mode
//! ```
//!
//! Header and name of a file are part of what each tag vouches for, and so is a record's number. Blocks are written in place
//! and have no tags: a torn write leaves what it would leave of a file in plain text.

mod blocks;
mod convert;
mod error;
mod growing;
mod header;
mod key;
mod places;
mod whole;

pub use blocks::{BLOCKS_HEADER_BYTES, BlockCipher, SECTOR_BYTES};
pub use convert::{decrypt, encrypt_blocks, encrypt_whole};
pub use error::{EncryptionError, KeyError, PlaceError};
pub use growing::{GrowingFile, GrowingReader, RecordEnd};
pub use key::EncryptionKey;
pub use places::{check_file, check_place, is_protected, protect};
pub(crate) use whole::Sealer;
pub use whole::{read_up_to, read_whole};
