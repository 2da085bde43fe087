//! One file of the journal: its name, its header, how it comes to be.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::directory::sync_directory;
use super::error::{JournalError, io_error};
use super::record::Undecodable;
use super::{Fsync, MAJOR, MINOR};
use crate::codec::Reader;
use crate::cursor::Epoch;

const MAGIC: [u8; 8] = *b"\xf5SSELOG\n";
/// Bytes of the header, in every version.
pub(super) const HEADER: usize = 68;

/// Which boot of a machine. After another one, what was not synced may be lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct BootId([u8; 16]);

impl BootId {
    /// Where the system does not tell: equal to no boot.
    const UNKNOWN: BootId = BootId([0; 16]);

    /// Of this machine, now.
    pub(super) fn current() -> BootId {
        std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
            .ok()
            .and_then(|text| BootId::parse(&text))
            .unwrap_or(BootId::UNKNOWN)
    }

    fn parse(text: &str) -> Option<BootId> {
        let digits: String = text.trim().chars().filter(|&c| c != '-').collect();
        let number = u128::from_str_radix(&digits, 16).ok()?;
        (digits.len() == 32).then_some(BootId(number.to_be_bytes()))
    }

    #[cfg(test)]
    pub(super) fn of(number: u8) -> BootId {
        BootId([number; 16])
    }

    pub(super) fn surely_same(self, other: BootId) -> bool {
        self == other && self != BootId::UNKNOWN
    }
}

/// What a life promised about the disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Promise {
    EachAppend,
    Later,
    Never,
}

impl From<Fsync> for Promise {
    fn from(fsync: Fsync) -> Promise {
        match fsync {
            Fsync::Always => Promise::EachAppend,
            Fsync::Interval(_) => Promise::Later,
            Fsync::Never => Promise::Never,
        }
    }
}

/// One time that the journal was open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Life {
    pub(super) epoch: Epoch,
    pub(super) boot: BootId,
    pub(super) promise: Promise,
}

impl Life {
    const LEN: usize = 21;

    pub(super) fn bytes(&self) -> [u8; Life::LEN] {
        let mut out = [0; Life::LEN];
        out[..4].copy_from_slice(&self.epoch.get().to_le_bytes());
        out[4..20].copy_from_slice(&self.boot.0);
        out[20] = match self.promise {
            Promise::EachAppend => 0,
            Promise::Later => 1,
            Promise::Never => 2,
        };
        out
    }

    pub(super) fn read(reader: &mut Reader) -> Result<Life, Undecodable> {
        Ok(Life {
            epoch: Epoch::from_random(u32::from_le_bytes(reader.array()?)),
            boot: BootId(reader.array()?),
            promise: match reader.byte()? {
                0 => Promise::EachAppend,
                1 => Promise::Later,
                2 => Promise::Never,
                _ => return Err(Undecodable::Malformed("no such fsync policy")),
            },
        })
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// Appended to while the relay runs.
    Live,
    /// Written by a compaction; stands for all files before it.
    Snapshot,
}

/// The file before, and how much of it counts. What it has beyond that was cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Follows {
    pub(super) sequence: u64,
    pub(super) length: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Header {
    pub(super) kind: Kind,
    pub(super) sequence: u64,
    /// `None` in the first file.
    pub(super) follows: Option<Follows>,
    pub(super) life: Life,
}

/// Why a header cannot be had.
#[derive(Debug)]
pub(super) enum HeaderFlaw {
    Io(io::Error),
    Broken(&'static str),
    Version { major: u16, minor: u16 },
}

impl Header {
    fn bytes(&self) -> [u8; HEADER] {
        let follows = self.follows.unwrap_or(Follows {
            sequence: 0,
            length: 0,
        });
        let mut out = [0; HEADER];
        out[..8].copy_from_slice(&MAGIC);
        out[8..10].copy_from_slice(&MAJOR.to_le_bytes());
        out[10..12].copy_from_slice(&MINOR.to_le_bytes());
        out[12] = match self.kind {
            Kind::Live => 0,
            Kind::Snapshot => 1,
        };
        out[16..24].copy_from_slice(&self.sequence.to_le_bytes());
        out[24..32].copy_from_slice(&follows.sequence.to_le_bytes());
        out[32..40].copy_from_slice(&follows.length.to_le_bytes());
        out[40..61].copy_from_slice(&self.life.bytes());
        let checksum = crc32fast::hash(&out[..64]);
        out[64..].copy_from_slice(&checksum.to_le_bytes());
        out
    }

    fn parse(bytes: &[u8; HEADER]) -> Result<Header, HeaderFlaw> {
        let senseless = |_| HeaderFlaw::Broken("its header makes no sense");
        let mut reader = Reader::new(bytes);
        if reader.array().map_err(senseless)? != MAGIC {
            return Err(HeaderFlaw::Broken("it does not start like a journal"));
        }
        if crc32fast::hash(&bytes[..64]).to_le_bytes() != bytes[64..] {
            return Err(HeaderFlaw::Broken("the checksum of its header is wrong"));
        }
        let major = u16::from_le_bytes(reader.array().map_err(senseless)?);
        let minor = u16::from_le_bytes(reader.array().map_err(senseless)?);
        if major != MAJOR {
            return Err(HeaderFlaw::Version { major, minor });
        }
        let [kind, ..] = reader.array::<4>().map_err(senseless)?;
        let kind = match kind {
            0 => Kind::Live,
            1 => Kind::Snapshot,
            _ => return Err(HeaderFlaw::Version { major, minor }),
        };
        let [sequence, before, length] = [(); 3].map(|()| reader.array().map(u64::from_le_bytes));
        let follows = Follows {
            sequence: before.map_err(senseless)?,
            length: length.map_err(senseless)?,
        };
        Ok(Header {
            kind,
            sequence: sequence.map_err(senseless)?,
            follows: (follows.sequence > 0).then_some(follows),
            life: Life::read(&mut reader)
                .map_err(|_| HeaderFlaw::Broken("its header makes no sense"))?,
        })
    }

    /// Of an open file.
    pub(super) fn read(file: &File, sequence: u64) -> Result<Header, HeaderFlaw> {
        let mut bytes = [0; HEADER];
        match file.read_exact_at(&mut bytes, 0) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(HeaderFlaw::Broken("its header is cut off"));
            }
            result => result.map_err(HeaderFlaw::Io)?,
        }
        let header = Header::parse(&bytes)?;
        if header.sequence != sequence {
            return Err(HeaderFlaw::Broken("its name is that of another file"));
        }
        Ok(header)
    }
}

pub(super) fn path_of(dir: &Path, sequence: u64) -> PathBuf {
    dir.join(format!("log-{sequence:08}.sse"))
}

fn temporary_path_of(dir: &Path, sequence: u64) -> PathBuf {
    dir.join(format!("log-{sequence:08}.tmp"))
}

/// What a name in the directory is to the journal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Named {
    Log(u64),
    /// A file that was not finished.
    Temporary,
    Foreign,
}

pub(super) fn parse_name(name: &str) -> Named {
    let Some((stem, suffix)) = name
        .strip_prefix("log-")
        .and_then(|rest| rest.rsplit_once('.'))
    else {
        return Named::Foreign;
    };
    let digits = stem.len() >= 8 && stem.bytes().all(|byte| byte.is_ascii_digit());
    match (suffix, digits, stem.parse()) {
        ("sse", true, Ok(sequence)) => Named::Log(sequence),
        ("tmp", true, Ok(_)) => Named::Temporary,
        _ => Named::Foreign,
    }
}

/// A file that is being written under a temporary name: no crash leaves half a file under the name
/// of a whole one.
pub(super) struct NewFile {
    dir: PathBuf,
    temporary: PathBuf,
    pub(super) sequence: u64,
    file: File,
    pub(super) length: u64,
}

impl NewFile {
    pub(super) fn create(dir: &Path, header: &Header) -> Result<NewFile, JournalError> {
        let temporary = temporary_path_of(dir, header.sequence);
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)
            .map_err(io_error("create", &temporary))?;
        let mut new = NewFile {
            dir: dir.to_owned(),
            temporary,
            sequence: header.sequence,
            file,
            length: 0,
        };
        match new.write(&header.bytes()) {
            Ok(()) => Ok(new),
            Err(error) => Err(new.discard(error)),
        }
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), JournalError> {
        self.file
            .write_all(bytes)
            .map_err(io_error("write", &self.temporary))?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// All of it on the disk, still under the temporary name.
    pub(super) fn sync(&self) -> Result<(), JournalError> {
        self.file
            .sync_all()
            .map_err(io_error("sync", &self.temporary))
    }

    /// Gives a synced file its name, durably.
    pub(super) fn publish(self) -> Result<File, JournalError> {
        let path = path_of(&self.dir, self.sequence);
        std::fs::rename(&self.temporary, &path).map_err(io_error("rename", &self.temporary))?;
        sync_directory(&self.dir)?;
        Ok(self.file)
    }

    /// Removes it because of `error`. Should that fail too, the next opening removes it.
    pub(super) fn discard(self, error: JournalError) -> JournalError {
        let _ = std::fs::remove_file(&self.temporary);
        error
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_what_a_file_is() {
        assert_eq!(parse_name("log-00000012.sse"), Named::Log(12));
        assert_eq!(parse_name("log-123456789.sse"), Named::Log(123_456_789));
        assert_eq!(parse_name("log-00000012.tmp"), Named::Temporary);
        for foreign in ["lock", "log-1.sse", "log-00000001.bak", "log-+0000001.sse"] {
            assert_eq!(parse_name(foreign), Named::Foreign, "{foreign}");
        }
        assert_eq!(
            parse_name(path_of(Path::new(""), 7).to_str().unwrap()),
            Named::Log(7)
        );
    }

    #[test]
    fn a_boot_that_is_not_known_is_the_same_as_none() {
        let known = BootId::parse("6f9c3a52-11f1-4a3e-9f55-c0ffee000001\n").unwrap();
        assert!(known.surely_same(known));
        assert!(!BootId::UNKNOWN.surely_same(BootId::UNKNOWN));
        assert_eq!(BootId::parse("none"), None);
    }

    #[test]
    fn a_header_survives_and_any_flipped_byte_of_it_is_noticed() {
        let header = Header {
            kind: Kind::Snapshot,
            sequence: 9,
            follows: Some(Follows {
                sequence: 8,
                length: 1 << 40,
            }),
            life: Life {
                epoch: Epoch::from_random(77),
                boot: BootId::of(3),
                promise: Promise::Later,
            },
        };
        let bytes = header.bytes();
        assert_eq!(Header::parse(&bytes).unwrap(), header);
        for at in 0..HEADER {
            let mut bytes = bytes;
            bytes[at] ^= 0x10;
            assert!(
                matches!(Header::parse(&bytes), Err(HeaderFlaw::Broken(_))),
                "byte {at}"
            );
        }
    }

    #[test]
    fn a_later_format_is_not_guessed_at() {
        let header = Header {
            kind: Kind::Live,
            sequence: 1,
            follows: None,
            life: Life {
                epoch: Epoch::from_random(1),
                boot: BootId::of(1),
                promise: Promise::Never,
            },
        };
        let mut bytes = header.bytes();
        bytes[8] = 2;
        let checksum = crc32fast::hash(&bytes[..64]);
        bytes[64..].copy_from_slice(&checksum.to_le_bytes());
        assert!(matches!(
            Header::parse(&bytes),
            Err(HeaderFlaw::Version { major: 2, .. })
        ));
    }
}
