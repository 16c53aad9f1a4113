//! CRC-32 (the one of zlib and Ethernet), eight bytes at a time, to tell a damaged record from a whole
//! one. It guards against accidents, not against forgery.

const TABLES: [[u32; 256]; 8] = tables();

/// A checksum in the making.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crc(u32);

impl Crc {
    /// Of nothing yet.
    pub(crate) const fn new() -> Self {
        Self(!0)
    }

    /// With these bytes after the earlier ones.
    pub(crate) fn with(self, bytes: &[u8]) -> Self {
        let mut crc = self.0;
        let mut eights = bytes.chunks_exact(8);
        for eight in &mut eights {
            let low = u32::from_le_bytes([eight[0], eight[1], eight[2], eight[3]]) ^ crc;
            crc = TABLES[7][(low & 0xff) as usize]
                ^ TABLES[6][(low >> 8 & 0xff) as usize]
                ^ TABLES[5][(low >> 16 & 0xff) as usize]
                ^ TABLES[4][(low >> 24) as usize]
                ^ TABLES[3][eight[4] as usize]
                ^ TABLES[2][eight[5] as usize]
                ^ TABLES[1][eight[6] as usize]
                ^ TABLES[0][eight[7] as usize];
        }
        for byte in eights.remainder() {
            crc = TABLES[0][((crc ^ u32::from(*byte)) & 0xff) as usize] ^ (crc >> 8);
        }
        Self(crc)
    }

    /// With a number after the earlier bytes.
    pub(crate) fn with_number(self, number: u64) -> Self {
        self.with(&number.to_le_bytes())
    }

    /// With a piece whose end matters: its length goes in too, so that bytes cannot move between pieces.
    pub(crate) fn with_piece(self, bytes: &[u8]) -> Self {
        self.with_number(bytes.len() as u64).with(bytes)
    }

    /// The checksum of all of it.
    pub(crate) const fn value(self) -> u32 {
        !self.0
    }
}

const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { 0xedb8_8320 ^ (crc >> 1) } else { crc >> 1 };
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut table = 1;
    while table < 8 {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[table - 1][byte];
            tables[table][byte] = tables[0][(before & 0xff) as usize] ^ (before >> 8);
            byte += 1;
        }
        table += 1;
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::Crc;

    #[test]
    fn the_known_check_value_comes_out() {
        assert_eq!(Crc::new().with(b"123456789").value(), 0xcbf4_3926);
        assert_eq!(Crc::new().value(), 0);
    }

    #[test]
    fn pieces_give_the_same_as_the_whole() {
        let bytes: Vec<u8> = (0..=255).collect();
        let whole = Crc::new().with(&bytes).value();
        for cut in 0..bytes.len() {
            assert_eq!(Crc::new().with(&bytes[..cut]).with(&bytes[cut..]).value(), whole);
        }
    }
}
