//! A batch: the records of one append, valid as a whole or not at all.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;

use super::error::JournalError;
use super::record::{Entry, Undecodable};
use crate::codec::{Reader, put_varint};

/// Starts every batch. Its first byte occurs in no UTF-8, so no event's text can look like one.
const MARK: [u8; 4] = [0xf5, b'S', b'S', b'E'];
/// Mark, length and checksum.
const HEAD: usize = 12;
/// Largest content of a batch, checked before memory is asked for.
pub(super) const MAX_BODY: usize = 64 << 20;

/// Covers the place too, so that a batch is valid only where it was written: what an old file left
/// on the disk cannot pass for a part of a new one.
fn checksum(sequence: u64, offset: u64, body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&sequence.to_le_bytes());
    hasher.update(&offset.to_le_bytes());
    hasher.update(&(body.len() as u32).to_le_bytes());
    hasher.update(body);
    hasher.finalize()
}

/// Builds one batch in a buffer that is used again.
#[derive(Default, Debug)]
pub(super) struct BatchWriter {
    bytes: Vec<u8>,
}

impl BatchWriter {
    /// `unsynced`: how many bytes before this batch were not known to be on the disk when it was
    /// written. It tells a power loss, which may leave holes there, from damage.
    pub(super) fn start(&mut self, unsynced: u64) -> &mut Vec<u8> {
        self.bytes.clear();
        self.bytes.shrink_to(1 << 20);
        self.bytes.resize(HEAD, 0);
        put_varint(&mut self.bytes, unsynced);
        &mut self.bytes
    }

    pub(super) fn seal(&mut self, sequence: u64, offset: u64) -> Result<&[u8], JournalError> {
        let (head, body) = self.bytes.split_at_mut(HEAD);
        if body.len() > MAX_BODY {
            return Err(JournalError::TooLarge { bytes: body.len() });
        }
        head[..4].copy_from_slice(&MARK);
        head[4..8].copy_from_slice(&(body.len() as u32).to_le_bytes());
        head[8..].copy_from_slice(&checksum(sequence, offset, body).to_le_bytes());
        Ok(&self.bytes)
    }
}

/// Why the next batch cannot be had.
#[derive(Debug)]
pub(super) enum Flaw {
    Io(io::Error),
    /// Not what a whole write leaves.
    Broken(&'static str),
    /// The checksum is right, but the content is not what this release writes.
    Senseless(&'static str),
    UnknownKind(u8),
}

impl From<io::Error> for Flaw {
    fn from(error: io::Error) -> Flaw {
        Flaw::Io(error)
    }
}

fn decode(body: &[u8]) -> Result<Vec<Entry>, Flaw> {
    let mut reader = Reader::new(body);
    let mut entries = Vec::new();
    let mut all = || {
        reader.varint()?;
        while !reader.is_empty() {
            entries.push(Entry::decode(&mut reader)?);
        }
        Ok(())
    };
    match all() {
        Ok(()) => Ok(entries),
        Err(Undecodable::Malformed(what)) => Err(Flaw::Senseless(what)),
        Err(Undecodable::UnknownKind(kind)) => Err(Flaw::UnknownKind(kind)),
    }
}

/// The length and the checksum that a head claims, if it can be one with `room` bytes after it.
fn claims(head: &[u8; HEAD], room: u64) -> Result<(usize, u32), &'static str> {
    let number = |at: usize| {
        u32::from_le_bytes(head[at..at + 4].try_into().expect("four bytes of the head"))
    };
    let length = number(4) as usize;
    if head[..4] != MARK {
        return Err("no record starts here");
    }
    if length > MAX_BODY {
        return Err("a record's length is out of range");
    }
    if length as u64 > room {
        return Err("a record is longer than the file");
    }
    Ok((length, number(8)))
}

/// Reads the batches of one file, in order.
pub(super) struct BatchReader {
    file: BufReader<File>,
    sequence: u64,
    offset: u64,
    limit: u64,
    body: Vec<u8>,
}

impl BatchReader {
    /// `file` stands at `offset`; nothing from `limit` on is looked at.
    pub(super) fn new(file: File, sequence: u64, offset: u64, limit: u64) -> BatchReader {
        BatchReader {
            file: BufReader::with_capacity(1 << 17, file),
            sequence,
            offset,
            limit,
            body: Vec::new(),
        }
    }

    /// Where the batch starts that [`BatchReader::next`] reads.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// `None` at the limit. After a flaw the reader is of no more use.
    pub(super) fn next(&mut self) -> Result<Option<Vec<Entry>>, Flaw> {
        let room = self.limit - self.offset;
        if room == 0 {
            return Ok(None);
        }
        if room < HEAD as u64 {
            return Err(Flaw::Broken("a record's head is cut off"));
        }
        let mut head = [0; HEAD];
        self.file.read_exact(&mut head)?;
        let (length, expected) = claims(&head, room - HEAD as u64).map_err(Flaw::Broken)?;
        self.body.resize(length, 0);
        self.file.read_exact(&mut self.body)?;
        if checksum(self.sequence, self.offset, &self.body) != expected {
            return Err(Flaw::Broken("a checksum does not match"));
        }
        let entries = decode(&self.body)?;
        self.offset += (HEAD + length) as u64;
        Ok(Some(entries))
    }
}

/// What the whole batches after a damaged place say about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum After {
    /// There are none.
    Nothing,
    /// When they were written, all before this offset was on the disk.
    SyncedUntil(u64),
}

/// Searches `from..limit` for whole batches.
pub(super) fn look_after(file: &File, sequence: u64, from: u64, limit: u64) -> io::Result<After> {
    let mut found = After::Nothing;
    let mut offset = from;
    while let Some(at) = next_mark(file, offset, limit)? {
        offset = at + 1;
        let mut head = [0; HEAD];
        if limit - at < HEAD as u64 {
            break;
        }
        file.read_exact_at(&mut head, at)?;
        let Ok((length, expected)) = claims(&head, limit - at - HEAD as u64) else {
            continue;
        };
        let mut body = vec![0; length];
        file.read_exact_at(&mut body, at + HEAD as u64)?;
        if checksum(sequence, at, &body) != expected {
            continue;
        }
        let unsynced = Reader::new(&body).varint().unwrap_or(0);
        let synced = at.saturating_sub(unsynced);
        found = match found {
            After::SyncedUntil(other) if other > synced => found,
            _ => After::SyncedUntil(synced),
        };
        offset = at + (HEAD + length) as u64;
    }
    Ok(found)
}

fn next_mark(file: &File, mut from: u64, limit: u64) -> io::Result<Option<u64>> {
    let mut window = vec![0; 1 << 16];
    while from < limit {
        let size = window.len().min((limit - from) as usize);
        let window = &mut window[..size];
        file.read_exact_at(window, from)?;
        if let Some(at) = memchr::memmem::find(window, &MARK) {
            return Ok(Some(from + at as u64));
        }
        if from + size as u64 == limit {
            break;
        }
        // A mark may lie across the edge of two windows.
        from += (size - (MARK.len() - 1)) as u64;
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn batch(unsynced: u64, sequence: u64, offset: u64) -> Vec<u8> {
        let mut writer = BatchWriter::default();
        Entry::Closed.encode(writer.start(unsynced));
        writer.seal(sequence, offset).unwrap().to_vec()
    }

    #[test]
    fn a_whole_batch_is_found_wherever_it_starts() {
        // Around the edge of the window that the search reads at a time.
        for offset in (1..20).chain((1 << 16) - 20..(1 << 16) + 20) {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&vec![0xf5; offset as usize]).unwrap();
            file.write_all(&batch(0, 4, offset)).unwrap();
            let limit = file.metadata().unwrap().len();
            let look = |sequence, from, limit| look_after(&file, sequence, from, limit).unwrap();
            assert_eq!(look(4, 0, limit), After::SyncedUntil(offset));
            assert_eq!(look(4, offset + 1, limit), After::Nothing);
            assert_eq!(look(4, 0, limit - 1), After::Nothing);
            assert_eq!(look(5, 0, limit), After::Nothing);
        }
    }

    #[test]
    fn of_several_batches_the_one_that_knew_most_counts() {
        let mut file = tempfile::tempfile().unwrap();
        let mut offset = 0;
        for unsynced in [0, 3, 20] {
            let bytes = batch(unsynced, 1, offset);
            file.write_all(&bytes).unwrap();
            offset += bytes.len() as u64;
        }
        let one = offset / 3;
        let after = look_after(&file, 1, 0, offset).unwrap();
        assert_eq!(after, After::SyncedUntil(one - 3));
    }
}
