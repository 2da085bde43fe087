//! What is told about streams: of this replica, and of all of them.

use super::{Control, spreading::replica_of};
use crate::{
    channel::ChannelName,
    cursor::UnixMillis,
    fleet::{
        Fleet,
        message::{Answer, Order, Question},
    },
    hub::{inbox::ListQuery, select::StreamSelector},
    listing::{
        ClientRow, Listed, RouteStreams, StreamRow, Streams, clients_of, merge_clients,
        merge_routes, route_streams_of, streams_of,
    },
};
use futures_util::future::join_all;
use std::time::{Instant, SystemTime};

/// Replicas that are asked for streams at once: each may answer with a whole page.
const WAVE: usize = 4;

impl Control {
    /// What this replica answers to an order of another one.
    pub async fn carry_out(&self, order: Order, now: UnixMillis) -> Answer {
        match order {
            Order::Command(command) => match self.apply(command, now).await {
                Ok(outcome) => Answer::Outcome(outcome),
                Err(error) => Answer::Refused(error.to_string()),
            },
            Order::Question(question) => self.tell(question).await,
        }
    }

    async fn tell(&self, question: Question) -> Answer {
        match question {
            Question::Streams {
                after,
                limit,
                streams,
            } => Answer::Streams(self.streams_here(after, limit, streams).await),
            Question::Clients { after, limit } => {
                Answer::Clients(self.clients_here(after.as_deref(), limit).await)
            }
            // `fleet::hearing` answers it: it is about sources
            Question::Listen { .. } => Answer::Refused("nothing is pulled from here".to_owned()),
            Question::Route { path } => Answer::Route(self.route_here(&path).await),
            Question::Count { channels } => Answer::Count(self.hub.count_streams(&channels).await),
        }
    }

    async fn streams_here(&self, after: u64, limit: usize, streams: StreamSelector) -> Streams {
        let query = ListQuery {
            after,
            limit: limit.saturating_add(1),
            streams,
            route: None,
        };
        streams_of(self.hub.list(query).await, limit, SystemTime::now())
    }

    async fn clients_here(&self, after: Option<&str>, limit: usize) -> Vec<ClientRow> {
        let all = ListQuery {
            limit: usize::MAX,
            ..ListQuery::default()
        };
        let open = self.hub.list(all).await;
        let ended = self.hub.clients.all(Instant::now());
        clients_of(open, ended, after, limit)
    }

    /// Streams by replica, those of one in the order in which they opened, after one of them.
    pub async fn streams(
        &self,
        after: Option<&str>,
        limit: usize,
        streams: &StreamSelector,
    ) -> Listed<StreamRow> {
        let from = after.and_then(replica_of).unwrap_or_default();
        let number = after
            .and_then(|after| after.rsplit_once('-')?.1.parse().ok())
            .unwrap_or(0);
        let (mut rows, mut unanswered) = (Vec::new(), Vec::new());
        let members: Vec<Box<str>> = self
            .members()
            .into_iter()
            .filter(|id| **id >= *from)
            .collect();
        for (index, wave) in members.chunks(WAVE).enumerate() {
            let left = limit - rows.len();
            let asked = wave.iter().map(|replica| {
                let after = if **replica == *from { number } else { 0 };
                self.streams_of_one(replica, after, left, streams)
            });
            let answers = join_all(asked).await;
            for (place, (replica, answer)) in wave.iter().zip(answers).enumerate() {
                let Some(answer) = answer else {
                    unanswered.push(replica.clone());
                    continue;
                };
                let left = limit - rows.len();
                let cut = answer.rows.len() > left;
                rows.extend(answer.rows.into_iter().take(left));
                let last = (index * WAVE + place + 1) == members.len();
                if cut || answer.more || (rows.len() == limit && !last) {
                    return Listed {
                        rows,
                        more: true,
                        unanswered,
                    };
                }
            }
        }
        Listed {
            rows,
            more: false,
            unanswered,
        }
    }

    async fn streams_of_one(
        &self,
        replica: &str,
        after: u64,
        limit: usize,
        streams: &StreamSelector,
    ) -> Option<Streams> {
        let Some(fleet) = self.fleet.as_ref().filter(|_| *replica != *self.replica) else {
            return Some(self.streams_here(after, limit, streams.clone()).await);
        };
        let question = Question::Streams {
            after,
            limit,
            streams: streams.clone(),
        };
        match fleet.ask(replica, &Order::Question(question)).await {
            Ok(Answer::Streams(streams)) => Some(streams),
            _ => None,
        }
    }

    /// This replica and all others that live, in the order of their ids.
    fn members(&self) -> Vec<Box<str>> {
        let others = self.fleet.as_deref().map(Fleet::others);
        let mut members = others.unwrap_or_default();
        members.push(self.replica.clone());
        members.sort();
        members
    }

    /// Receivers that gave themselves a name, over all their streams, after one.
    pub async fn clients(&self, after: Option<&str>, limit: usize) -> Listed<ClientRow> {
        let one_more = limit.saturating_add(1);
        let here = self.clients_here(after, one_more);
        let order = Order::Question(Question::Clients {
            after: after.map(str::to_owned),
            limit: one_more,
        });
        let (here, others, mut unanswered) = self.with_others(here, &order).await;
        let mut all = here;
        for (replica, answer) in others {
            match answer {
                Answer::Clients(rows) => all.extend(rows),
                _ => unanswered.push(replica),
            }
        }
        let mut rows = merge_clients(all, one_more);
        let more = rows.len() > limit;
        rows.truncate(limit);
        Listed {
            rows,
            more,
            unanswered,
        }
    }

    async fn route_here(&self, path: &str) -> RouteStreams {
        let query = ListQuery {
            limit: usize::MAX,
            route: Some(path.into()),
            ..ListQuery::default()
        };
        route_streams_of(&self.hub.list(query).await)
    }

    /// Streams of the route whose first path is this one. Replicas that are silent, or of a release that
    /// does not know the question, are left out.
    pub async fn route(&self, path: &str) -> RouteStreams {
        let order = Order::Question(Question::Route {
            path: path.to_owned(),
        });
        let (here, others, _silent) = self.with_others(self.route_here(path), &order).await;
        let others = others.into_iter().filter_map(|(_, answer)| match answer {
            Answer::Route(streams) => Some(streams),
            _ => None,
        });
        merge_routes(std::iter::once(here).chain(others))
    }

    /// How many streams receive each of these channels.
    pub async fn count_streams(&self, channels: &[ChannelName]) -> Listed<usize> {
        let order = Order::Question(Question::Count {
            channels: channels.to_vec(),
        });
        let here = self.hub.count_streams(channels);
        let (mut counts, others, mut unanswered) = self.with_others(here, &order).await;
        for (replica, answer) in others {
            match answer {
                Answer::Count(there) if there.len() == counts.len() => {
                    counts
                        .iter_mut()
                        .zip(there)
                        .for_each(|(all, one)| *all += one);
                }
                _ => unanswered.push(replica),
            }
        }
        Listed {
            rows: counts,
            more: false,
            unanswered,
        }
    }

    /// What is asked here and of all others at once, and who of them is silent.
    async fn with_others<T>(
        &self,
        here: impl Future<Output = T>,
        order: &Order,
    ) -> (T, Vec<(Box<str>, Answer)>, Vec<Box<str>>) {
        match &self.fleet {
            None => (here.await, Vec::new(), Vec::new()),
            Some(fleet) => {
                let (here, others) = tokio::join!(here, fleet.ask_all(order));
                (here, others.answers, others.silent)
            }
        }
    }
}
