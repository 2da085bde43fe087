//! Hash slots: how a cluster, and this relay in every mode, divides its keys.

/// Number of slots of a Redis Cluster.
pub const SLOTS: u16 = 16_384;

/// The slot of a key or shard channel.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Slot(u16);

impl Slot {
    /// As the cluster specification computes it: CRC-16 (XMODEM) of the key, or of what stands
    /// between the first `{` and the next `}` if that is not empty.
    pub fn of(key: &[u8]) -> Slot {
        Slot(crc16(tag(key)) % SLOTS)
    }

    pub fn number(self) -> u16 {
        self.0
    }

    /// The slot of that number, if there is one.
    pub fn new(number: u16) -> Option<Slot> {
        (number < SLOTS).then_some(Slot(number))
    }
}

fn tag(key: &[u8]) -> &[u8] {
    let Some(open) = memchr::memchr(b'{', key) else {
        return key;
    };
    let rest = &key[open + 1..];
    match memchr::memchr(b'}', rest) {
        Some(0) | None => key,
        Some(close) => &rest[..close],
    }
}

fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, &byte| {
        let index = (crc >> 8) as u8 ^ byte;
        (crc << 8) ^ TABLE[usize::from(index)]
    })
}

const TABLE: [u16; 256] = table();

const fn table() -> [u16; 256] {
    const POLYNOMIAL: u16 = 0x1021;
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut crc = (index as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 == 0 {
                crc << 1
            } else {
                (crc << 1) ^ POLYNOMIAL
            };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(key: &str) -> u16 {
        Slot::of(key.as_bytes()).number()
    }

    #[test]
    fn slots_are_those_of_the_cluster_specification() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        // What `CLUSTER KEYSLOT` answers.
        assert_eq!(slot("foo"), 12_182);
        assert_eq!(slot("somekey"), 11_058);
        assert_eq!(slot("foo{hash_tag}"), 2_515);
        assert_eq!(slot(""), 0);
    }

    #[test]
    fn only_a_whole_tag_that_is_not_empty_counts() {
        assert_eq!(slot("{a}.x"), slot("a"));
        assert_eq!(slot("x{a}{b}"), slot("a"));
        assert_eq!(slot("{{a}}"), slot("{a"));
        assert_ne!(slot("{}a"), slot("{}b"));
        assert_ne!(slot("{a"), slot("a"));
    }
}
