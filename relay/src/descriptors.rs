//! File descriptors, and whom they are kept for. Each connection is one, each stream over HTTP/1.1 has
//! one. Without bounds streams could take all of them, and then nobody could publish.

use rustix::process::{Resource, getrlimit};

/// What the process needs for itself: listeners, the log and its file, Redis, the admin port, keys that
/// are fetched, questions to another application (100 at once unless configured).
const OWN: usize = 192;
/// Of each delivery thread: its runtime and its epoll.
const OF_A_THREAD: usize = 8;
/// One connection in so many is kept for what is no stream.
const SHARE: usize = 16;

/// How many files the process may open; `None` where there is no bound.
pub fn open_files() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// How many connections there may be, and up to how many of them a stream may open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Room {
    pub connections: usize,
    pub streams: usize,
}

/// What `stream.maxConnections` says, and what the files leave: the smaller of both. One connection in
/// sixteen is not for streams.
pub fn room(configured: Option<usize>, open_files: Option<u64>, threads: usize) -> Room {
    let files = open_files.map_or(usize::MAX, |files| {
        let files = usize::try_from(files).unwrap_or(usize::MAX);
        let own = OWN + OF_A_THREAD * threads;
        files - own.min(files / 2)
    });
    let connections = configured.unwrap_or(usize::MAX).min(files).max(1);
    Room {
        connections,
        streams: connections - connections / SHARE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_leave_room_for_others_and_connections_for_the_process() {
        for (configured, files, connections, streams) in [
            (None, None, usize::MAX, usize::MAX - usize::MAX / 16),
            (None, Some(1_048_576), 1_048_368, 982_845),
            (None, Some(1024), 816, 765),
            (None, Some(64), 32, 30),
            (Some(100), Some(1024), 100, 94),
            (Some(100_000), Some(1024), 816, 765),
            (Some(3), None, 3, 3),
            (None, Some(0), 1, 1),
        ] {
            let expected = Room {
                connections,
                streams,
            };
            assert_eq!(
                room(configured, files, 2),
                expected,
                "{configured:?} {files:?}"
            );
        }
    }
}
