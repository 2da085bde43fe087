//! What a shard tells about its streams.

use super::{Connection, Shard, stream::Stream};
use crate::{
    channel::{ChannelName, Selector},
    hub::inbox::{ListQuery, StreamReport},
};

impl Shard {
    pub(super) fn list(&self, query: &ListQuery) -> Vec<StreamReport> {
        let mut found: Vec<(u32, &Stream)> = self
            .slots
            .iter()
            .filter_map(|(index, slot)| match &slot.connection {
                Connection::Stream(stream) => Some((index as u32, stream)),
                Connection::Head(_) => None,
            })
            .filter(|(_, stream)| stream.info.number > query.after)
            .filter(|(_, stream)| query.streams.matches(&stream.info))
            .filter(|(_, stream)| match (&query.route, &stream.info.voice) {
                (None, _) => true,
                (Some(route), Some(voice)) => *route == voice.dialect.route,
                (Some(_), None) => false,
            })
            .collect();
        found.sort_by_key(|(_, stream)| stream.info.number);
        found.truncate(query.limit);
        found
            .into_iter()
            .map(|(index, stream)| self.report(index, stream))
            .collect()
    }

    fn report(&self, index: u32, stream: &Stream) -> StreamReport {
        let (delivered, filtered, _) = self.account(index);
        let feed = self.feeds.get(stream.feed);
        let caught_up = stream.cursor == feed.log.end();
        let at = if !stream.has_joined() || stream.backlog.is_some() {
            None
        } else if caught_up {
            feed.standing(&self.through).text()
        } else {
            feed.log.last_before(stream.cursor).text()
        };
        StreamReport {
            info: stream.info.clone(),
            cursor: at,
            queue_bytes: self.waiting(stream),
            delivered,
            filtered,
            dropped: stream.counts.dropped,
        }
    }

    /// Bytes that wait for a stream.
    pub(super) fn waiting(&self, stream: &Stream) -> u64 {
        let backlog = stream
            .backlog
            .as_ref()
            .map_or(0, |backlog| backlog.waiting().len() as u64);
        let joined = stream.has_joined();
        backlog
            + if joined {
                self.feeds.get(stream.feed).log.end() - stream.cursor
            } else {
                0
            }
    }

    pub(super) fn count_streams(&self, channels: &[ChannelName]) -> Vec<usize> {
        let mut counts = vec![0; channels.len()];
        for (_, feed) in self.feeds.iter() {
            for (count, channel) in counts.iter_mut().zip(channels) {
                if feed
                    .key
                    .selectors
                    .iter()
                    .any(|selector: &Selector| selector.matches(channel))
                {
                    *count += feed.users;
                }
            }
        }
        counts
    }
}
