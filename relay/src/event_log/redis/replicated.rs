//! Waits until enough replicas of Redis have what was appended (`redis.minReplicasAck`).
//!
//! `WAIT` holds up its connection, so it has one of its own, and waits for what that connection wrote
//! (since Redis 8; for all up to its last command before): so a write goes before it. Publishes that wait
//! at the same time share one question.

use super::{
    appender::{Novelty, Span},
    keys::Keys,
    options::Replicas,
    scripts::{parse_epoch, parse_id},
    store::StoreError,
};
use crate::{
    cursor::{Epoch, EventId},
    redis::{Command, Primary, Reply, Slot},
};
use tokio::sync::{mpsc, oneshot};

/// Publishes that wait in one partition at most; more are told at once that it is not known.
const MAX_WAITING: usize = 16_384;

/// Why it is not known that enough replicas have a publish. It is in the log.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Missed {
    #[error("{have} of {wanted} replicas of Redis confirmed it in time")]
    Few { have: u32, wanted: u32 },
    #[error("Redis became another primary")]
    OtherPrimary,
    #[error("Redis could not be asked: {0}")]
    Unasked(String),
    #[error("too many publishes wait for replicas of Redis")]
    Busy,
}

/// What a publish must be, for replicas to have it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wanted {
    /// Appended in this epoch, up to this id.
    Upto(Epoch, EventId),
    /// Found in the log again, so that whoever has all that the primary has has it.
    Found,
}

/// What the primary said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Asked {
    epoch: Epoch,
    last: EventId,
    replicas: u32,
}

struct Waiter {
    wanted: Wanted,
    answer: oneshot::Sender<Result<(), Missed>>,
}

/// The replicas of one partition's primary.
pub struct Replicated {
    waiters: mpsc::Sender<Waiter>,
}

impl Replicated {
    /// And the task that asks.
    pub fn new(keys: &Keys, replicas: Replicas) -> (Replicated, impl Future<Output = ()> + use<>) {
        let (waiters, waiting) = mpsc::channel(MAX_WAITING);
        let asker = Asker {
            primary: replicas.redis.primary(Slot::of(keys.head().as_bytes())),
            head: keys.head(),
            asked: keys.asked(),
            replicas,
        };
        (Replicated { waiters }, asker.run(waiting))
    }

    /// Waits until enough replicas have a publish whose last event this is.
    ///
    /// # Errors
    /// When that is not known in time.
    pub async fn confirm(&self, span: &Span, last: EventId) -> Result<(), Missed> {
        let wanted = match span.novelty {
            Novelty::New => Wanted::Upto(span.epoch, last),
            Novelty::Repeat => Wanted::Found,
        };
        let (answer, answered) = oneshot::channel();
        let waiter = Waiter { wanted, answer };
        self.waiters.try_send(waiter).map_err(|_| Missed::Busy)?;
        let ended = || Missed::Unasked("the process is ending".into());
        answered.await.unwrap_or_else(|_| Err(ended()))
    }
}

struct Asker {
    primary: Primary,
    head: String,
    asked: String,
    replicas: Replicas,
}

impl Asker {
    /// Until nobody can ask any more.
    async fn run(self, mut waiting: mpsc::Receiver<Waiter>) {
        let mut group = Vec::new();
        while waiting.recv_many(&mut group, MAX_WAITING).await > 0 {
            let asked = self.ask().await;
            for waiter in group.drain(..) {
                let answer = asked.clone();
                let answer =
                    answer.and_then(|asked| judge(asked, waiter.wanted, self.replicas.min));
                let _ = waiter.answer.send(answer); // who published may be gone
            }
        }
    }

    /// What the primary has, and how many replicas have that too.
    async fn ask(&self) -> Result<Asked, Missed> {
        let unasked = |error: StoreError| Missed::Unasked(error.to_string());
        let session = self.primary.session().map_err(|why| unasked(why.into()))?;
        let commands = [
            Command::new("HMGET").arg(&self.head).args(["e", "r", "i"]),
            Command::new("HSET").arg(&self.asked).args(["n", "1"]),
            Command::new("WAIT")
                .number(self.replicas.min)
                .number(i128::try_from(self.replicas.within.as_millis()).unwrap_or(i128::MAX)),
        ];
        let replies = session.pipeline(&commands).await;
        let mut replies = replies.map_err(|why| unasked(why.into()))?.into_iter();
        let mut next = || match replies.next() {
            Some(reply) => reply.map_err(|why| unasked(why.into())),
            None => Err(Missed::Unasked("an answer is missing".into())),
        };
        let (head, _, replicas) = (next()?, next()?, next()?);
        let [epoch, confirmed_on, last] = head.list().unwrap_or_default() else {
            return Err(Missed::OtherPrimary);
        };
        if confirmed_on.text() != Some(session.replication_id().as_str()) {
            return Err(Missed::OtherPrimary);
        }
        let undecodable = |error| unasked(StoreError::Undecodable(error));
        Ok(Asked {
            epoch: parse_epoch(epoch).map_err(undecodable)?,
            last: parse_id(last).map_err(undecodable)?,
            replicas: count(&replicas),
        })
    }
}

fn count(reply: &Reply) -> u32 {
    let count = reply.integer().and_then(|count| u32::try_from(count).ok());
    count.unwrap_or(0)
}

fn judge(asked: Asked, wanted: Wanted, min: u32) -> Result<(), Missed> {
    match wanted {
        Wanted::Upto(epoch, last) if asked.epoch != epoch || asked.last < last => {
            Err(Missed::OtherPrimary)
        }
        Wanted::Upto(..) | Wanted::Found if asked.replicas < min => Err(Missed::Few {
            have: asked.replicas,
            wanted: min,
        }),
        Wanted::Upto(..) | Wanted::Found => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replicas_of_another_primary_or_epoch_confirm_nothing() {
        let id = |value| EventId::new(value).unwrap();
        let epoch = Epoch::from_random;
        let asked = |replicas| Asked {
            epoch: epoch(1),
            last: id(10),
            replicas,
        };
        let upto = |of, last| Wanted::Upto(epoch(of), id(last));
        assert_eq!(judge(asked(1), upto(1, 10), 1), Ok(()));
        assert_eq!(judge(asked(2), upto(1, 9), 1), Ok(()));
        assert_eq!(judge(asked(2), Wanted::Found, 2), Ok(()));
        let few = Err(Missed::Few { have: 1, wanted: 2 });
        assert_eq!(judge(asked(1), upto(1, 10), 2), few);
        assert_eq!(judge(asked(1), Wanted::Found, 2), few);
        assert_eq!(judge(asked(9), upto(1, 11), 1), Err(Missed::OtherPrimary));
        assert_eq!(judge(asked(9), upto(2, 10), 1), Err(Missed::OtherPrimary));
    }
}
