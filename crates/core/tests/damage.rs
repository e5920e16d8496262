//! Each bit of a small codes file flipped in turn: it is refused.

use hashvfl_core::{CodeTable, Digest, PackedCodes, StoredCodes};

#[test]
fn each_bit_of_a_codes_file_flipped_in_turn_is_found() {
    let mut table = CodeTable::new(4, 9);
    let signs: Vec<f32> = (0..18).map(|bit| if bit % 3 == 0 { 1.0 } else { -1.0 }).collect();
    table.put(&[3, 0], &PackedCodes::pack(&signs, 9).unwrap());
    let stored = StoredCodes { encoder: Digest([7; 32]), records: Digest([8; 32]), table };
    let whole = stored.to_bytes();
    assert_eq!(StoredCodes::from_bytes(&whole), Ok(stored));
    for bit in 0..8 * whole.len() {
        let mut damaged = whole.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(StoredCodes::from_bytes(&damaged).is_err(), "bit {bit}");
    }
}
