//! What was published: the other side of every account.
//!
//! An event's data is one line: run, number of the publish, channel, sequence number within the
//! channel, send time in nanoseconds, then padding to the wanted size. The ledger keeps that line's
//! head, so a received event is checked byte for byte.

use std::io::Write as _;

/// Bytes before the padding; the smallest payload.
pub const HEAD: usize = 54;
/// Most publishes of one run: at 100 bytes each the ledger stays under a gigabyte.
pub const MAX_PUBLISHES: usize = 5_000_000;

#[derive(Debug, Clone)]
pub struct Entry {
    head: [u8; HEAD],
    pub channel: u32,
    /// The place among the channel's events, from 0.
    pub sequence: u32,
    /// Nanoseconds of the run's clock: when the schedule wanted it, when it was sent, when the
    /// server had answered (`u64::MAX`: it has not).
    pub scheduled: u64,
    pub sent: u64,
    pub answered: u64,
    /// The server took it, so every stream must get it.
    pub accepted: bool,
    /// Streams that have yet to get it.
    pub awaited: u32,
}

#[derive(Debug)]
pub struct Ledger {
    run: u32,
    padding: Vec<u8>,
    entries: Vec<Entry>,
    /// For each channel the numbers of its publishes, by sequence.
    channels: Vec<Vec<u32>>,
}

impl Ledger {
    /// `payload` is raised to [`HEAD`]. `run` tells this run's events from another's.
    #[must_use]
    pub fn new(run: u32, channels: usize, payload: usize) -> Self {
        let padding = (HEAD..payload).map(|at| b'a' + (at % 26) as u8).collect();
        Self {
            run,
            padding,
            entries: Vec::new(),
            channels: vec![Vec::new(); channels],
        }
    }

    /// Enters a publish and returns its number.
    pub fn publish(&mut self, channel: u32, scheduled: u64, sent: u64, awaited: u32) -> u32 {
        let number = self.entries.len() as u32;
        let sequence = self.channels[channel as usize].len() as u32;
        let mut head = [0; HEAD];
        let run = self.run;
        write!(
            &mut head[..],
            "@{run:08x} {number:08x} {channel:08x} {sequence:08x} {sent:016x} "
        )
        .expect("the fields have fixed widths that fill the head");
        self.channels[channel as usize].push(number);
        self.entries.push(Entry {
            head,
            channel,
            sequence,
            scheduled,
            sent,
            answered: u64::MAX,
            accepted: true,
            awaited,
        });
        number
    }

    pub fn write_payload(&self, number: u32, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.entries[number as usize].head);
        out.extend_from_slice(&self.padding);
    }

    #[must_use]
    pub fn payload_length(&self) -> usize {
        HEAD + self.padding.len()
    }

    /// The number of the publish with exactly this data.
    #[must_use]
    pub fn identify(&self, data: &[u8]) -> Option<u32> {
        let (head, padding) = data.split_at_checked(HEAD)?;
        let number = hex(&head[10..18])?;
        let entry = self.entries.get(number as usize)?;
        (entry.head == head && padding == self.padding).then_some(number)
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    #[must_use]
    pub fn entry(&self, number: u32) -> &Entry {
        &self.entries[number as usize]
    }

    pub fn entry_mut(&mut self, number: u32) -> &mut Entry {
        &mut self.entries[number as usize]
    }

    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The publishes of a channel, in the order they were sent.
    pub fn channel(&self, channel: u32) -> impl ExactSizeIterator<Item = &Entry> {
        self.channels[channel as usize]
            .iter()
            .map(|&number| self.entry(number))
    }

    /// The numbers of a channel's publishes, by sequence.
    #[must_use]
    pub fn channel_numbers(&self, channel: u32) -> &[u32] {
        &self.channels[channel as usize]
    }

    /// Whether the channel's event `earlier` had been answered before `later` was sent: only then
    /// is their order defined.
    #[must_use]
    pub fn ordered(&self, channel: u32, earlier: u32, later: u32) -> bool {
        let numbers = &self.channels[channel as usize];
        let at = |sequence: u32| self.entry(numbers[sequence as usize]);
        at(earlier).answered <= at(later).sent
    }
}

fn hex(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |value, &digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u32::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger() -> (Ledger, Vec<u8>) {
        let mut ledger = Ledger::new(9, 2, 256);
        ledger.publish(0, 1, 2, 1);
        let number = ledger.publish(1, 3, 4, 1);
        let mut payload = Vec::new();
        ledger.write_payload(number, &mut payload);
        (ledger, payload)
    }

    #[test]
    fn a_payload_has_the_wanted_size_and_is_recognised() {
        let (ledger, payload) = ledger();
        assert_eq!(payload.len(), 256);
        assert_eq!(ledger.identify(&payload), Some(1));
        assert!(!payload.contains(&b'\n') && !payload.contains(&b'\r'));
    }

    #[test]
    fn any_changed_missing_or_added_byte_is_noticed() {
        let (ledger, payload) = ledger();
        for at in 0..payload.len() {
            let mut changed = payload.clone();
            changed[at] ^= 1;
            assert_eq!(ledger.identify(&changed), None, "byte {at}");
            assert_eq!(ledger.identify(&payload[..at]), None, "cut at {at}");
        }
        assert_eq!(ledger.identify(&[&payload[..], b"x"].concat()), None);
    }
}
