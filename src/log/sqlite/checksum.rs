/// What a record amounts to, so that a bit that flips on the disk is noticed: SQLite checks its structure, not what
/// stands in it. FNV-1a with 64 bits; against accidents, not against people.
pub(super) fn checksum(place: i64, id: &[u8], at_ms: i64, body: &[u8]) -> i64 {
    let mut sum: u64 = 0xcbf2_9ce4_8422_2325;
    for part in [&place.to_le_bytes()[..], id, &at_ms.to_le_bytes(), body] {
        for byte in part {
            sum = (sum ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    sum.cast_signed()
}
