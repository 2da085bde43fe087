//! What is found after a crash, at every step and every byte.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use proptest::prelude::*;
use tempfile::TempDir;

use super::file::{BootId, HEADER, path_of};
use super::*;
use crate::channel::ChannelName;
use crate::cursor::Predecessor;
use crate::event::{Ending, Event};
use crate::journal::record::tests::records;

const OLD: u32 = 11;
const NEW: u32 = 22;

fn id(number: u64) -> EventId {
    EventId::new(number).unwrap()
}

fn channel(name: &str) -> ChannelName {
    ChannelName::parse(name).unwrap()
}

fn event(number: u64) -> Record {
    Record::Event {
        channel: channel(if number.is_multiple_of(2) {
            "even"
        } else {
            "odd"
        }),
        id: id(number),
        predecessor: Predecessor::Known(id(number.saturating_sub(2))),
        event: Event::text(&format!("event {number}")),
        idempotency: None,
    }
}

fn batch(numbers: impl IntoIterator<Item = u64>) -> Vec<Record> {
    numbers.into_iter().map(event).collect()
}

fn ended(epoch: u32, fork: u64) -> Record {
    Record::EpochEnded {
        epoch: Epoch::from_random(epoch),
        fork: id(fork),
    }
}

fn options(dir: &Path) -> Options {
    Options {
        dir: dir.to_owned(),
        fsync: Fsync::Interval(Duration::from_secs(1)),
        compact_at: 1 << 20,
        repair: Repair::Refuse,
    }
}

struct Opened {
    journal: Journal,
    recovered: Recovered,
    records: Vec<Record>,
}

fn try_open(options: Options, boot: u8, epoch: u32) -> Result<Opened, JournalError> {
    let mut records = Vec::new();
    let (journal, recovered) = Journal::open_on(
        BootId::of(boot),
        options,
        Epoch::from_random(epoch),
        |record| records.push(record),
    )?;
    Ok(Opened {
        journal,
        recovered,
        records,
    })
}

/// On the same machine and boot as before.
fn open(dir: &Path, epoch: u32) -> Opened {
    try_open(options(dir), 1, epoch).unwrap()
}

fn copy(from: &Path) -> TempDir {
    let to = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.path().join(entry.file_name())).unwrap();
    }
    to
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "lock")
        .collect();
    names.sort();
    names
}

/// An offset at which a batch ends, and all records up to it.
type End = (u64, Vec<Record>);

/// A log of three batches in one file, closed or not, and where each batch ends.
fn three_batches(close: bool) -> (TempDir, Vec<u8>, Vec<End>) {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path(), OLD).journal;
    let mut all = Vec::new();
    let mut ends = vec![(journal.length, Vec::new())];
    for numbers in [1..=1, 2..=4, 5..=6] {
        let batch = batch(numbers);
        journal.append(&batch).unwrap();
        all.extend(batch);
        ends.push((journal.length, all.clone()));
    }
    if close {
        journal.close().unwrap();
    } else {
        drop(journal);
    }
    let bytes = std::fs::read(path_of(dir.path(), 1)).unwrap();
    (dir, bytes, ends)
}

#[test]
fn a_new_directory_is_private_and_starts_the_new_epoch() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("a/b");
    let opened = open(&dir, OLD);
    assert_eq!(
        opened.recovered,
        Recovered {
            epoch: Epoch::from_random(OLD),
            last: EventId::ZERO,
            tail: Tail::Clean
        }
    );
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    assert_eq!(mode(&path_of(&dir, 1)), 0o600);
    assert_eq!(mode(&dir.join("lock")), 0o600);
}

#[test]
fn a_directory_has_one_relay_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path(), OLD);
    let error = try_open(options(dir.path()), 1, NEW).err().unwrap();
    assert!(matches!(error, JournalError::Locked(_)));
    assert!(error.to_string().contains(dir.path().to_str().unwrap()));
    drop(first);
    open(dir.path(), NEW);
}

#[test]
fn a_closed_log_comes_back_clean_and_one_that_was_not_comes_back_unclean() {
    for (close, tail) in [(true, Tail::Clean), (false, Tail::Unclean)] {
        let (dir, _, ends) = three_batches(close);
        for _ in 0..2 {
            let opened = open(dir.path(), NEW);
            assert_eq!(opened.recovered.tail, tail);
            assert_eq!(opened.recovered.epoch, Epoch::from_random(OLD));
            assert_eq!(opened.recovered.last, id(6));
            assert_eq!(opened.records, ends[3].1);
            if close {
                opened.journal.close().unwrap();
            }
        }
    }
}

#[test]
fn cut_at_every_byte_a_log_gives_whole_batches_and_says_what_was_cut() {
    let (_dir, bytes, ends) = three_batches(true);
    for length in 0..bytes.len() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(path_of(dir.path(), 1), &bytes[..length]).unwrap();
        let opened = open(dir.path(), NEW);
        let survived = ends.iter().rev().find(|(end, _)| *end <= length as u64);
        let whole = survived.map_or(0, |(end, _)| *end);
        let mut expected = survived.map_or(Vec::new(), |(_, records)| records.clone());
        let fork = expected.len() as u64;
        if whole == length as u64 && length > 0 {
            assert_eq!(opened.recovered.tail, Tail::Unclean, "{length}");
            assert_eq!(opened.recovered.epoch, Epoch::from_random(OLD));
        } else {
            let cut_bytes = length as u64 - whole;
            assert_eq!(opened.recovered.tail, Tail::Torn { cut_bytes }, "{length}");
            assert_eq!(opened.recovered.epoch, Epoch::from_random(NEW));
            expected.extend((whole > 0).then(|| ended(OLD, fork)));
        }
        assert_eq!(opened.records, expected, "{length}");
        // What is appended now is found behind it, in the same epoch.
        let mut journal = opened.journal;
        journal.append(&[event(9)]).unwrap();
        drop(journal);
        let again = open(dir.path(), 33);
        assert_eq!(again.recovered.tail, Tail::Unclean, "{length}");
        assert_eq!(again.recovered.epoch, opened.recovered.epoch);
        expected.push(event(9));
        expected.sort_by_key(|record| matches!(record, Record::EpochEnded { .. }));
        assert_eq!(again.records, expected, "{length}");
    }
}

#[test]
fn every_flipped_byte_is_noticed() {
    let (_dir, bytes, ends) = three_batches(true);
    let all = &ends[3].1;
    let closed_at = ends[3].0 as usize;
    let last_batch = ends[2].0 as usize..closed_at;
    for at in 0..bytes.len() {
        for flip in [0x01, 0x80, 0xff] {
            let dir = tempfile::tempdir().unwrap();
            let mut bytes = bytes.clone();
            bytes[at] ^= flip;
            std::fs::write(path_of(dir.path(), 1), &bytes).unwrap();
            match try_open(options(dir.path()), 1, NEW) {
                // The closing mark is whole after it, so it is not a torn tail.
                Err(JournalError::Damaged { path, offset, .. }) => {
                    assert!(at < closed_at, "{at}");
                    assert_eq!(path, path_of(dir.path(), 1));
                    assert!(offset as usize <= at);
                    assert!(!last_batch.contains(&at) || offset as usize == last_batch.start);
                }
                Ok(opened) => {
                    assert!(at >= closed_at, "{at}");
                    assert!(matches!(opened.recovered.tail, Tail::Torn { .. }));
                    assert_eq!(opened.records[..6], all[..]);
                    assert_eq!(opened.records[6..], [ended(OLD, 6)]);
                }
                Err(error) => panic!("{at}: {error}"),
            }
        }
    }
}

#[test]
fn a_damage_in_the_last_batch_of_a_log_that_was_not_closed_is_a_torn_tail() {
    let (_dir, bytes, ends) = three_batches(false);
    for at in ends[2].0 as usize..bytes.len() {
        let dir = tempfile::tempdir().unwrap();
        let mut bytes = bytes.clone();
        bytes[at] ^= 0x20;
        std::fs::write(path_of(dir.path(), 1), &bytes).unwrap();
        let opened = open(dir.path(), NEW);
        let cut_bytes = bytes.len() as u64 - ends[2].0;
        assert_eq!(opened.recovered.tail, Tail::Torn { cut_bytes });
        let mut expected = ends[2].1.clone();
        expected.push(ended(OLD, 4));
        assert_eq!(opened.records, expected);
    }
}

#[test]
fn damage_before_whole_batches_is_refused_and_cut_only_when_allowed() {
    let (dir, mut bytes, ends) = three_batches(false);
    bytes[ends[1].0 as usize + 20] ^= 1;
    std::fs::write(path_of(dir.path(), 1), &bytes).unwrap();
    for _ in 0..2 {
        let error = try_open(options(dir.path()), 1, NEW).err().unwrap();
        assert_eq!(error.reason(), "damaged");
        let text = error.to_string();
        assert!(text.contains("log-00000001.sse"), "{text}");
        assert!(text.contains(&format!("byte {}", ends[1].0)), "{text}");
    }
    let repair = Options {
        repair: Repair::CutFromFirstDamage,
        ..options(dir.path())
    };
    let opened = try_open(repair, 1, NEW).unwrap();
    let cut_bytes = bytes.len() as u64 - ends[1].0;
    assert_eq!(opened.recovered.tail, Tail::Torn { cut_bytes });
    assert_eq!(opened.records, [event(1), ended(OLD, 1)]);
    drop(opened);
    assert_eq!(open(dir.path(), 33).recovered.tail, Tail::Unclean);
}

#[test]
fn a_power_loss_may_leave_holes_only_where_nothing_was_synced() {
    for (synced, boot, torn) in [
        (false, 2, true),
        (true, 2, false),
        (false, 1, false),
        (true, 1, false),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = open(dir.path(), OLD).journal;
        journal.append(&batch(1..=2)).unwrap();
        journal.sync().unwrap();
        let hole = journal.length;
        journal.append(&batch(3..=4)).unwrap();
        let after = journal.length;
        if synced {
            journal.sync().unwrap();
        }
        journal.append(&batch(5..=6)).unwrap();
        drop(journal);
        let path = path_of(dir.path(), 1);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[hole as usize..after as usize].fill(0);
        std::fs::write(&path, &bytes).unwrap();
        match try_open(options(dir.path()), boot, NEW) {
            Ok(opened) => {
                assert!(torn, "synced {synced}, boot {boot}");
                assert_eq!(opened.records, [event(1), event(2), ended(OLD, 2)]);
            }
            Err(error) => {
                assert!(!torn, "synced {synced}, boot {boot}: {error}");
                assert_eq!(error.reason(), "damaged");
            }
        }
    }
}

#[test]
fn after_a_reboot_only_a_log_that_synced_each_append_is_trusted() {
    for (fsync, boot, close, tail) in [
        (Fsync::Always, 2, false, Tail::Unclean),
        (Fsync::Never, 2, false, Tail::Suspect),
        (
            Fsync::Interval(Duration::from_secs(1)),
            2,
            false,
            Tail::Suspect,
        ),
        (Fsync::Never, 2, true, Tail::Clean),
        (Fsync::Never, 1, false, Tail::Unclean),
        (Fsync::Never, 0, false, Tail::Suspect),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let options = Options {
            fsync,
            ..options(dir.path())
        };
        let mut journal = try_open(options.clone(), boot.min(1), OLD).unwrap().journal;
        journal.append(&batch(1..=3)).unwrap();
        if close {
            journal.close().unwrap();
        } else {
            drop(journal);
        }
        let opened = try_open(options, boot, NEW).unwrap();
        assert_eq!(
            opened.recovered.tail, tail,
            "{fsync:?}, boot {boot}, closed {close}"
        );
        let mut expected = batch(1..=3);
        expected.extend((tail == Tail::Suspect).then(|| ended(OLD, 3)));
        assert_eq!(opened.records, expected);
    }
}

#[test]
fn only_the_last_life_is_in_doubt_since_an_opening_syncs_what_it_found() {
    let dir = tempfile::tempdir().unwrap();
    let mut never = open(dir.path(), OLD).journal;
    never.append(&[event(1)]).unwrap();
    drop(never);
    let always = Options {
        fsync: Fsync::Always,
        ..options(dir.path())
    };
    let mut second = try_open(always, 1, NEW).unwrap().journal;
    assert_eq!(second.synced, second.length);
    second.append(&[event(2)]).unwrap();
    drop(second);
    let opened = try_open(options(dir.path()), 2, NEW).unwrap();
    assert_eq!(opened.recovered.tail, Tail::Unclean);
}

#[test]
fn a_recovery_that_crashes_is_done_again_and_leaves_one_new_epoch() {
    let (_dir, bytes, ends) = three_batches(false);
    let torn = &bytes[..bytes.len() - 3];
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(path_of(dir.path(), 1), torn).unwrap();
    drop(open(dir.path(), NEW));
    let cut = std::fs::read(path_of(dir.path(), 1)).unwrap();
    assert_eq!(cut, bytes[..ends[2].0 as usize]);
    let mut expected = ends[2].1.clone();
    expected.push(ended(OLD, 4));
    // Before the old file was cut, and with a file left that had not got its name.
    std::fs::write(path_of(dir.path(), 1), torn).unwrap();
    std::fs::write(dir.path().join("log-00000003.tmp"), "half").unwrap();
    let opened = open(dir.path(), 33);
    assert_eq!(opened.recovered.tail, Tail::Unclean);
    assert_eq!(opened.recovered.epoch, Epoch::from_random(NEW));
    assert_eq!(opened.records, expected);
    assert_eq!(names(dir.path()), ["log-00000001.sse", "log-00000002.sse"]);
}

#[test]
fn a_file_that_a_crashed_recovery_left_is_not_taken_for_a_snapshot() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path(), OLD).journal;
    journal.append(&[event(1)]).unwrap();
    let compaction = journal.begin_compaction().unwrap();
    compaction.write([event(1)]).unwrap();
    drop(journal);
    // The live file lost its header; the recovery crashed before it removed that file.
    let live = path_of(dir.path(), 3);
    std::fs::write(&live, "torn").unwrap();
    drop(open(dir.path(), NEW));
    std::fs::write(&live, "torn").unwrap();
    let opened = open(dir.path(), 33);
    assert_eq!(opened.recovered.epoch, Epoch::from_random(NEW));
    assert_eq!(opened.records[1..], [event(1), ended(OLD, 1)]);
    assert!(!live.exists());
}

#[test]
fn a_batch_counts_only_in_its_place_and_a_file_only_under_its_name() {
    let (dir, bytes, ends) = three_batches(false);
    let twice = [&bytes[..], &bytes[ends[2].0 as usize..]].concat();
    std::fs::write(path_of(dir.path(), 1), twice).unwrap();
    let opened = open(dir.path(), NEW);
    assert_eq!(opened.records[..6], ends[3].1);
    assert_eq!(opened.records[6..], [ended(OLD, 6)]);

    let (dir, bytes, _) = three_batches(true);
    std::fs::rename(path_of(dir.path(), 1), path_of(dir.path(), 5)).unwrap();
    let error = try_open(options(dir.path()), 1, NEW).err().unwrap();
    assert_eq!(error.reason(), "damaged");
    assert_eq!(std::fs::read(path_of(dir.path(), 5)).unwrap(), bytes);
}

#[test]
fn the_last_sixteen_ended_epochs_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    for boot in 1..=20u8 {
        let opened = try_open(options(dir.path()), boot, u32::from(boot)).unwrap();
        let mut journal = opened.journal;
        journal.append(&[event(u64::from(boot))]).unwrap();
        if boot == 18 {
            let compaction = journal.begin_compaction().unwrap();
            journal
                .finish_compaction(compaction.write(batch(1..=18)).unwrap())
                .unwrap();
        }
    }
    let opened = try_open(options(dir.path()), 21, 21).unwrap();
    let expected: Vec<_> = batch(1..=20)
        .into_iter()
        .chain((5..=20).map(|boot| ended(boot, u64::from(boot))))
        .collect();
    let events = opened
        .records
        .iter()
        .filter(|record| !matches!(record, Record::Head { .. }));
    assert!(events.eq(&expected));
}

/// What the records amount to: each event and channel, the head, the ended epochs. Fails on an event
/// that comes twice.
#[derive(PartialEq, Debug)]
struct State {
    events: BTreeMap<EventId, Record>,
    channels: BTreeMap<String, EventId>,
    last: EventId,
    forgotten: EventId,
    ended: Vec<Record>,
    epoch: Epoch,
}

/// `trimmed`: events up to this id count as dead, whether or not the file still has them.
fn state_of(opened: &Opened, trimmed: u64) -> State {
    let mut state = State {
        events: BTreeMap::new(),
        channels: BTreeMap::new(),
        last: opened.recovered.last,
        forgotten: EventId::ZERO,
        ended: Vec::new(),
        epoch: opened.recovered.epoch,
    };
    for record in &opened.records {
        match record {
            Record::Event { id, .. } if id.get() <= trimmed => {}
            Record::Event { id, .. } => {
                let twice = state.events.insert(*id, record.clone());
                assert_eq!(twice, None);
            }
            Record::Head { forgotten, .. } => state.forgotten = state.forgotten.max(*forgotten),
            Record::EpochEnded { .. } => state.ended.push(record.clone()),
            Record::Channel { channel, last, .. } => {
                state.channels.insert(channel.to_string(), *last);
            }
            Record::Key { .. } | Record::Purged { .. } => {} // nothing here writes one
        }
    }
    state
}

fn quiet_channel() -> Record {
    Record::Channel {
        channel: channel("quiet"),
        last: id(3),
        ending: Ending::Ends,
    }
}

#[test]
fn a_crash_at_any_step_of_a_compaction_loses_and_doubles_nothing() {
    let dir = tempfile::tempdir().unwrap();
    // A torn start, so that there is an ended epoch to keep, and two files to replace.
    let mut journal = open(dir.path(), OLD).journal;
    journal.append(&[event(1)]).unwrap();
    drop(journal);
    let mut journal = try_open(options(dir.path()), 2, NEW).unwrap().journal;
    let head = Record::Head {
        last: id(4),
        forgotten: id(2),
    };
    journal.append(&[quiet_channel(), head.clone()]).unwrap();
    journal.append(&batch(5..=20)).unwrap();

    let mut steps = vec![("before", copy(dir.path()), 20)];
    let mut step = |name, last| steps.push((name, copy(dir.path()), last));
    let compaction = journal.begin_compaction().unwrap();
    assert_eq!(compaction.until(), id(20));
    step("begun", 20);
    journal.append(&batch(21..=22)).unwrap();
    step("appended", 22);
    let live: Vec<_> = [quiet_channel(), head]
        .into_iter()
        .chain(batch(16..=20))
        .collect();
    let snapshot = compaction.write_temporary(live).unwrap();
    let temporary = dir.path().join("log-00000003.tmp");
    let whole = std::fs::read(&temporary).unwrap();
    for length in (0..whole.len()).step_by(7) {
        std::fs::write(&temporary, &whole[..length]).unwrap();
        step("writing", 22);
    }
    std::fs::write(&temporary, &whole).unwrap();
    step("written", 22);
    journal.append(&[event(23)]).unwrap();
    let bytes = compaction.publish(snapshot).unwrap();
    step("published", 23);
    for &sequence in &compaction.replaces {
        compaction::remove(dir.path(), sequence).unwrap();
        step("removing", 23);
    }
    let removal = compaction.remove_replaced();
    journal
        .finish_compaction(Finished {
            sequence: 3,
            bytes,
            removal,
        })
        .unwrap();
    let files = ["log-00000003.sse", "log-00000004.sse"];
    assert_eq!(names(dir.path()), files);
    let on_disk: u64 = files
        .map(|name| dir.path().join(name).metadata().unwrap().len())
        .iter()
        .sum();
    assert_eq!(journal.bytes(), on_disk);
    journal.append(&[event(24)]).unwrap();
    step("finished", 24);
    drop(journal);

    for (name, copied, last) in &steps {
        let opened = try_open(options(copied.path()), 2, 33).unwrap();
        let expected = State {
            events: (16..=*last).map(|n| (id(n), event(n))).collect(),
            channels: [("quiet".to_owned(), id(3))].into(),
            last: id(*last),
            forgotten: id(2),
            ended: vec![ended(OLD, 1)],
            epoch: Epoch::from_random(NEW),
        };
        assert_eq!(opened.recovered.tail, Tail::Unclean, "{name}");
        assert_eq!(state_of(&opened, 15), expected, "{name}");
        let left = names(copied.path());
        assert!(left.iter().all(|file| file.ends_with(".sse")), "{name}");
        drop(opened);
        // And a second time, from what the first opening left.
        let again = try_open(options(copied.path()), 2, 34).unwrap();
        assert_eq!(state_of(&again, 15), expected, "{name} again");
    }
}

#[test]
fn after_a_compaction_every_cut_and_every_flip_of_either_file_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path(), OLD).journal;
    journal.append(&batch(1..=4)).unwrap();
    let compaction = journal.begin_compaction().unwrap();
    let finished = compaction.write(batch(3..=4)).unwrap();
    journal.finish_compaction(finished).unwrap();
    journal.append(&batch(5..=6)).unwrap();
    drop(journal);
    let (snapshot, live) = (path_of(dir.path(), 2), path_of(dir.path(), 3));
    let open_with = |path: &Path, bytes: &[u8]| {
        let copied = copy(dir.path());
        std::fs::write(copied.path().join(path.file_name().unwrap()), bytes).unwrap();
        let opened = try_open(options(copied.path()), 1, NEW);
        opened.map(|opened| (opened.recovered.tail, opened.records.len()))
    };
    let whole = std::fs::read(&snapshot).unwrap();
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 4;
        for bytes in [&whole[..at], &flipped] {
            let error = open_with(&snapshot, bytes).unwrap_err();
            assert!(
                matches!(error.reason(), "damaged" | "missing"),
                "{at} {error}"
            );
        }
    }
    let whole = std::fs::read(&live).unwrap();
    for at in 0..whole.len() {
        let (tail, records) = open_with(&live, &whole[..at]).unwrap();
        match at {
            // The head and two events of the snapshot, and nothing of a torn batch.
            HEADER => assert_eq!((tail, records), (Tail::Unclean, 3)),
            _ => assert!(matches!((tail, records), (Tail::Torn { .. }, 4)), "{at}"),
        }
        let mut flipped = whole.clone();
        flipped[at] ^= 4;
        match open_with(&live, &flipped) {
            // A whole batch follows the header.
            Err(error) => assert!(at < HEADER && error.reason() == "damaged", "{error}"),
            Ok(found) => assert!(matches!(found, (Tail::Torn { .. }, 4)), "{at}"),
        }
    }
}

#[test]
fn a_file_that_is_missing_is_named_and_never_skipped() {
    let dir = tempfile::tempdir().unwrap();
    for boot in 1..=3 {
        let opened = try_open(options(dir.path()), boot, u32::from(boot)).unwrap();
        let mut journal = opened.journal;
        journal.append(&[event(u64::from(boot))]).unwrap();
    }
    std::fs::remove_file(path_of(dir.path(), 2)).unwrap();
    let error = try_open(options(dir.path()), 3, 4).err().unwrap();
    assert_eq!(error.reason(), "missing");
    assert!(error.to_string().contains("log-00000002.sse"));
    let repair = Options {
        repair: Repair::CutFromFirstDamage,
        ..options(dir.path())
    };
    let opened = try_open(repair, 3, 4).unwrap();
    assert!(matches!(opened.recovered.tail, Tail::Torn { .. }));
    assert_eq!(opened.records, [event(1), ended(1, 1)]);
}

#[test]
fn a_repair_cuts_a_damaged_snapshot_and_all_that_came_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path(), OLD).journal;
    journal.append(&batch(1..=2)).unwrap();
    let compaction = journal.begin_compaction().unwrap();
    journal
        .finish_compaction(compaction.write(batch(1..=2)).unwrap())
        .unwrap();
    journal.append(&[event(3)]).unwrap();
    drop(journal);
    let snapshot = path_of(dir.path(), 2);
    let whole = std::fs::read(&snapshot).unwrap();
    let repair = Options {
        repair: Repair::CutFromFirstDamage,
        ..options(dir.path())
    };
    for at in [3, HEADER + 30, whole.len() - 1] {
        let copied = copy(dir.path());
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        std::fs::write(path_of(copied.path(), 2), &bytes).unwrap();
        assert!(try_open(options(copied.path()), 1, NEW).is_err());
        let repair = Options {
            dir: copied.path().to_owned(),
            ..repair.clone()
        };
        let opened = try_open(repair, 1, NEW).unwrap();
        assert!(matches!(opened.recovered.tail, Tail::Torn { .. }));
        assert_eq!(opened.recovered.epoch, Epoch::from_random(NEW));
        let found = opened.records.clone();
        assert!(!found.contains(&event(3)));
        drop(opened);
        let again = open(copied.path(), 33);
        assert_eq!(again.recovered.tail, Tail::Unclean);
        assert_eq!(again.recovered.epoch, Epoch::from_random(NEW));
        assert_eq!(again.records, found);
    }
}

#[test]
fn an_earlier_file_that_lost_its_end_is_noticed_even_between_two_batches() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path(), OLD).journal;
    journal.append(&[event(1)]).unwrap();
    let between = journal.length;
    journal.append(&[event(2)]).unwrap();
    journal.begin_compaction().unwrap();
    drop(journal);
    let path = path_of(dir.path(), 1);
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(between).unwrap();
    let error = try_open(options(dir.path()), 1, NEW).err().unwrap();
    assert!(matches!(error, JournalError::Damaged { offset, .. } if offset == between));
}

#[test]
fn a_compaction_that_fails_is_not_wanted_again_at_once_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let small = Options {
        compact_at: 400,
        ..options(dir.path())
    };
    let mut journal = try_open(small, 1, OLD).unwrap().journal;
    assert!(!journal.wants_compaction(0));
    journal.append(&batch(1..=20)).unwrap();
    assert!(journal.wants_compaction(0));
    assert!(!journal.wants_compaction(journal.bytes()));
    let compaction = journal.begin_compaction().unwrap();
    assert!(!journal.wants_compaction(0));
    journal.append(&[event(21)]).unwrap();
    let error = compaction.write([event(21)]).unwrap_err();
    assert_eq!(error.reason(), "not-in-snapshot");
    journal.abandon_compaction();
    assert!(!journal.wants_compaction(0));
    assert_eq!(names(dir.path()), ["log-00000001.sse", "log-00000003.sse"]);
    journal.append(&batch(22..=30)).unwrap();
    assert!(journal.wants_compaction(0));
    drop(journal);
    assert_eq!(open(dir.path(), NEW).records, batch(1..=30));
}

#[test]
fn a_compaction_is_wanted_again_only_when_the_files_have_doubled_whatever_the_estimate() {
    let dir = tempfile::tempdir().unwrap();
    let small = Options {
        compact_at: 400,
        ..options(dir.path())
    };
    let mut journal = try_open(small, 1, OLD).unwrap().journal;
    journal.append(&batch(1..=20)).unwrap();
    let compaction = journal.begin_compaction().unwrap();
    let finished = compaction.write(batch(1..=20)).unwrap();
    journal.finish_compaction(finished).unwrap();
    let after = journal.bytes();
    assert!(after > 400);
    assert!(!journal.wants_compaction(0), "it would free nothing");
    let mut next = 21;
    while !journal.wants_compaction(0) {
        journal.append(&[event(next)]).unwrap();
        next += 1;
    }
    assert!(journal.bytes() > after * 3 / 2);
}

#[test]
fn a_compaction_that_was_overtaken_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path(), OLD).journal;
    journal.append(&batch(1..=3)).unwrap();
    let slow = journal.begin_compaction().unwrap();
    journal.append(&batch(4..=6)).unwrap();
    let quick = journal.begin_compaction().unwrap();
    journal.append(&[event(7)]).unwrap();
    let quick = quick.write(batch(3..=6)).unwrap();
    journal.finish_compaction(quick).unwrap();
    let bytes = journal.bytes();
    let slow = slow.write(batch(3..=3)).unwrap();
    journal.finish_compaction(slow).unwrap();
    assert_eq!(journal.bytes(), bytes);
    drop(journal);
    let opened = open(dir.path(), NEW);
    assert_eq!(opened.records[1..], batch(3..=7));
    assert_eq!(names(dir.path()), ["log-00000004.sse", "log-00000005.sse"]);
}

#[test]
fn a_compaction_keeps_the_directory_though_the_journal_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path(), OLD).journal;
    journal.append(&[event(1)]).unwrap();
    let compaction = journal.begin_compaction().unwrap();
    journal.close().unwrap();
    let error = try_open(options(dir.path()), 1, NEW).err().unwrap();
    assert_eq!(error.reason(), "locked");
    compaction.write([event(1)]).unwrap();
    let opened = open(dir.path(), NEW);
    assert_eq!(opened.recovered.tail, Tail::Clean);
    assert_eq!(opened.records[1..], [event(1)]);
}

#[test]
fn a_record_of_a_later_release_is_an_error_and_not_cut_by_a_repair() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path(), OLD).journal;
    journal.batch.start(0).push(77);
    journal.write_batch().unwrap();
    drop(journal);
    for repair in [Repair::Refuse, Repair::CutFromFirstDamage] {
        let options = Options {
            repair,
            ..options(dir.path())
        };
        let error = try_open(options, 1, NEW).err().unwrap();
        assert!(matches!(
            error,
            JournalError::UnknownRecord { kind: 77, .. }
        ));
    }
}

#[test]
fn what_cannot_be_taken_back_stops_the_journal() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path(), OLD).journal;
    journal.append(&[event(1)]).unwrap();
    // A device that is always full, and cannot be cut to a length.
    let real = std::mem::replace(
        &mut journal.file,
        Arc::new(OpenOptions::new().write(true).open("/dev/full").unwrap()),
    );
    let error = journal.append(&[event(2)]).unwrap_err();
    assert_eq!(error.reason(), "disk-full");
    journal.file = real;
    for result in [journal.append(&[event(3)]), journal.sync()] {
        let error = result.unwrap_err();
        assert_eq!(error.reason(), "poisoned");
        assert!(error.to_string().contains("No space left"), "{error}");
    }
    assert!(journal.begin_compaction().is_err());
    assert_eq!(journal.close().unwrap_err().reason(), "poisoned");
    let opened = open(dir.path(), NEW);
    assert_eq!(opened.records, [event(1)]);
}

#[test]
fn a_failed_sync_stops_the_journal() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path(), OLD).journal;
    journal.file = Arc::new(OpenOptions::new().write(true).open("/dev/full").unwrap());
    assert_eq!(journal.sync().unwrap_err().reason(), "io");
    assert_eq!(
        journal.append(&[event(1)]).unwrap_err().reason(),
        "poisoned"
    );
}

#[test]
fn a_sync_beside_the_appends_vouches_for_no_more_than_it_began_with() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path(), OLD).journal;
    journal.append(&[event(1)]).unwrap();
    let until = journal.length;
    let first = journal.begin_sync().unwrap();
    journal.append(&[event(2)]).unwrap();
    let second = journal.begin_sync().unwrap();
    journal.finish_sync(first.run()).unwrap();
    assert_eq!(journal.synced, until);
    journal.append(&[event(3)]).unwrap();
    // Another file is in use by the time it is done.
    drop(journal.begin_compaction().unwrap());
    let fresh = journal.synced;
    journal.finish_sync(second.run()).unwrap();
    assert_eq!(journal.synced, fresh);
    // But a failure counts, whichever file it was.
    let mut failed = journal.begin_sync().unwrap();
    failed.sequence = 1;
    failed.file = Arc::new(OpenOptions::new().write(true).open("/dev/full").unwrap());
    assert_eq!(
        journal.finish_sync(failed.run()).unwrap_err().reason(),
        "io"
    );
    assert_eq!(
        journal.append(&[event(4)]).unwrap_err().reason(),
        "poisoned"
    );
}

#[test]
fn a_log_that_was_closed_and_opened_again_is_not_closed() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path(), OLD).journal.close().unwrap();
    drop(open(dir.path(), NEW));
    let opened = try_open(options(dir.path()), 2, NEW).unwrap();
    assert_eq!(opened.recovered.tail, Tail::Suspect);
}

#[test]
fn an_append_that_is_too_large_leaves_no_trace() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path(), OLD).journal;
    let mut large = event(1);
    if let Record::Event { event, .. } = &mut large {
        *event = Event::text(&"x".repeat(MAX_BATCH));
    }
    let error = journal.append(&[large]).unwrap_err();
    assert_eq!(error.reason(), "too-large");
    journal.append(&[event(2)]).unwrap();
    drop(journal);
    assert_eq!(open(dir.path(), NEW).records, [event(2)]);
}

/// Runs a test of this file that is marked `ignore` as a process of its own, in `dir`.
fn child(test: &str, dir: &Path, limit_blocks: &str) -> Command {
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg("trap '' XFSZ; ulimit -f \"$1\"; shift; exec \"$@\"")
        .args(["sh", limit_blocks])
        .arg(std::env::current_exe().unwrap())
        .args(["--ignored", "--nocapture", "--exact"])
        .arg(format!("journal::crash_tests::{test}"))
        .env("JOURNAL_TEST_DIR", dir);
    command
}

fn child_dir() -> PathBuf {
    std::env::var_os("JOURNAL_TEST_DIR")
        .expect("run by another test")
        .into()
}

#[test]
fn a_full_disk_refuses_an_append_and_leaves_the_log_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    // The kernel lets the file grow to some kilobytes: a write across the limit is cut short, the
    // next one fails, as on a disk that fills up.
    let status = child("child_fills_the_disk", dir.path(), "16")
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    let opened = open(dir.path(), NEW);
    assert_eq!(opened.recovered.tail, Tail::Clean);
    let last = opened.recovered.last.get();
    assert!(last > 50);
    assert_eq!(opened.records, batch(1..=last));
}

#[test]
#[ignore = "the process of a_full_disk_refuses_an_append_and_leaves_the_log_as_it_was"]
fn child_fills_the_disk() {
    let mut journal = open(&child_dir(), OLD).journal;
    let mut last = 0;
    let error = loop {
        match journal.append(&batch(last + 1..=last + 10)) {
            Ok(()) => last += 10,
            Err(error) => break error,
        }
    };
    assert_eq!(error.reason(), "disk-full", "{error}");
    let on_disk = || journal.path.metadata().unwrap().len();
    assert_eq!(on_disk(), journal.length);
    // What is smaller than the room that is left still goes in.
    let mut journal = journal;
    if journal.append(&[event(last + 1)]).is_err() {
        assert_eq!(
            journal.path.metadata().unwrap().len(),
            journal.length,
            "taken back again"
        );
    }
    journal.close().unwrap();
}

#[test]
fn what_was_acknowledged_survives_kill_9_whole_and_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    for round in 0..6 {
        let mut process = child("child_appends_until_killed", dir.path(), "unlimited")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let wanted = 200 + 150 * round;
        let mut seen = 0;
        for line in lines {
            let line = line.unwrap();
            let Some(number) = line.strip_prefix("acknowledged ") else {
                continue;
            };
            acknowledged = number.parse().unwrap();
            seen += 1;
            if seen == wanted {
                process.kill().unwrap();
            }
        }
        assert!(seen >= wanted, "the child ended by itself");
        process.wait().unwrap();
        let mut ids = Vec::new();
        let (journal, recovered) =
            Journal::open(options(dir.path()), Epoch::from_random(NEW), |record| {
                if let Record::Event { id, .. } = record {
                    ids.push(id.get());
                }
            })
            .unwrap();
        drop(journal);
        ids.sort();
        let last = recovered.last.get();
        assert!(last >= acknowledged, "{last} {acknowledged}");
        // Batches of three, whole; and all that any snapshot kept, once.
        assert_eq!(last % 3, 0);
        let first = ids[0];
        assert!(first <= last.saturating_sub(999).max(1), "{first} {last}");
        assert!(ids.iter().copied().eq(first..=last));
    }
}

#[test]
#[ignore = "the process of what_was_acknowledged_survives_kill_9_whole_and_once"]
fn child_appends_until_killed() {
    let mut live: Vec<Record> = Vec::new();
    let (mut journal, recovered) =
        Journal::open(options(&child_dir()), Epoch::from_random(OLD), |record| {
            live.extend(matches!(record, Record::Event { .. }).then_some(record));
        })
        .unwrap();
    let mut last = recovered.last.get();
    let mut rewriting: Option<std::thread::JoinHandle<_>> = None;
    loop {
        let batch = batch(last + 1..=last + 3);
        journal.append(&batch).unwrap();
        last += 3;
        println!("acknowledged {last}");
        live.extend(batch);
        live.drain(..live.len().saturating_sub(1000));
        match rewriting.take() {
            Some(thread) if thread.is_finished() => {
                let finished: Result<Finished, JournalError> = thread.join().unwrap();
                journal.finish_compaction(finished.unwrap()).unwrap();
            }
            Some(thread) => rewriting = Some(thread),
            None if last.is_multiple_of(5) => {
                let (compaction, live) = (journal.begin_compaction().unwrap(), live.clone());
                rewriting = Some(std::thread::spawn(move || compaction.write(live)));
            }
            None => {}
        }
    }
}

#[test]
fn an_event_costs_few_bytes_more_than_its_text() {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = open(dir.path(), OLD).journal;
    let today = 753_000_000_000_000;
    let record = |number: u64| Record::Event {
        channel: channel("orders"),
        id: id(today + number),
        predecessor: Predecessor::Known(id(today)),
        event: Event::text(&"x".repeat(256)),
        idempotency: None,
    };
    let bare = 256 + "orders".len() as u64;
    let before = journal.length;
    journal.append(&[record(1)]).unwrap();
    let alone = journal.length - before - bare;
    let before = journal.length;
    journal
        .append(&(2..1002).map(record).collect::<Vec<_>>())
        .unwrap();
    let together = (journal.length - before) / 1000 - bare;
    assert_eq!((alone, together), (34, 21));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn whatever_is_appended_comes_back(
        lives in proptest::collection::vec(
            (proptest::collection::vec(proptest::collection::vec(records(), 0..4), 0..5), any::<bool>()),
            1..4,
        ),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut all = Vec::new();
        for (batches, close) in lives {
            let opened = open(dir.path(), OLD);
            prop_assert_eq!(&opened.records, &all);
            let mut journal = opened.journal;
            for batch in batches {
                journal.append(&batch).unwrap();
                all.extend(batch);
            }
            if close {
                journal.close().unwrap();
            }
        }
        let opened = open(dir.path(), NEW);
        prop_assert_eq!(&opened.records, &all);
        let highest = all.iter().map(Record::highest).max().unwrap_or_default();
        prop_assert_eq!(opened.recovered.last, highest);
    }
}
