//! What this replica lately did with tickets, which a failover of Redis may have lost. Pure.

use crate::{auth::TicketId, cursor::UnixMillis};
use std::collections::{HashMap, VecDeque};

/// How long something is recent, in milliseconds: further behind is no replica that is promoted with care.
pub const RECENT: u64 = 60_000;
/// Of more, only the last ones are remembered.
const MOST: usize = 10_000;

/// The last thing of each ticket.
#[derive(Debug)]
pub struct Recent<T> {
    of: HashMap<TicketId, (UnixMillis, T)>,
    /// When each came, in order; a ticket may stand here more than once.
    order: VecDeque<(UnixMillis, TicketId)>,
}

impl<T> Default for Recent<T> {
    fn default() -> Recent<T> {
        Recent {
            of: HashMap::new(),
            order: VecDeque::new(),
        }
    }
}

impl<T> Recent<T> {
    pub fn put(&mut self, id: TicketId, what: T, now: UnixMillis) {
        self.of.insert(id, (now, what));
        self.order.push_back((now, id));
        self.forget(now);
    }

    /// Lets go of what is not recent any more.
    pub fn forget(&mut self, now: UnixMillis) {
        while let Some((when, id)) = self.order.front().copied()
            && (self.order.len() > MOST || when.saturating_add(RECENT) <= now)
        {
            self.order.pop_front();
            if self.of.get(&id).is_some_and(|(last, _)| *last == when) {
                self.of.remove(&id);
            }
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (&TicketId, &T)> {
        self.of.iter().map(|(id, (_, what))| (id, what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(recent: &Recent<u32>) -> Vec<u32> {
        let mut all: Vec<u32> = recent.iter().map(|(_, what)| *what).collect();
        all.sort_unstable();
        all
    }

    #[test]
    fn the_last_thing_of_each_ticket_is_kept_for_a_minute() {
        let mut recent = Recent::default();
        let [a, b] = ["a", "b"].map(TicketId::of);
        recent.put(a, 1, 0);
        recent.put(b, 2, 10);
        recent.put(a, 3, 20);
        assert_eq!(all(&recent), [2, 3]);
        recent.forget(RECENT);
        assert_eq!(all(&recent), [2, 3], "what came first is not the last");
        recent.forget(RECENT + 10);
        assert_eq!(all(&recent), [3]);
        recent.forget(RECENT + 20);
        assert!(recent.of.is_empty() && recent.order.is_empty());
    }

    #[test]
    fn of_more_than_its_bound_the_last_ones_are_kept() {
        let mut recent = Recent::default();
        for number in 0..MOST as u32 + 5 {
            recent.put(TicketId::of(&number.to_string()), number, 0);
        }
        assert_eq!((recent.of.len(), recent.order.len()), (MOST, MOST));
        assert_eq!(all(&recent)[0], 5);
    }
}
