//! Connections that have not sent a first request yet. However many there are, somebody new gets in:
//! past the bound, the oldest gives way. Whoever means it is done within moments; whoever only holds
//! connections loses them one by one.

use parking_lot::Mutex;
use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::Notify;

pub struct Handshakes {
    max: usize,
    going_on: Mutex<GoingOn>,
}

#[derive(Default)]
struct GoingOn {
    /// Ordered by when they began.
    all: BTreeMap<u64, Arc<Notify>>,
    next: u64,
}

impl Handshakes {
    pub fn new(max: usize) -> Arc<Handshakes> {
        Arc::new(Handshakes {
            max,
            going_on: Mutex::default(),
        })
    }

    /// One more, in place of the oldest if there are too many.
    pub fn begin(self: &Arc<Handshakes>) -> Handshake {
        let displaced = Arc::new(Notify::new());
        let mut going_on = self.going_on.lock();
        if going_on.all.len() >= self.max
            && let Some((_, oldest)) = going_on.all.pop_first()
        {
            oldest.notify_one();
        }
        let number = going_on.next;
        going_on.next += 1;
        going_on.all.insert(number, displaced.clone());
        Handshake {
            among: self.clone(),
            number,
            displaced,
        }
    }

    pub fn count(&self) -> usize {
        self.going_on.lock().all.len()
    }
}

/// One of them, until it is dropped.
pub struct Handshake {
    among: Arc<Handshakes>,
    number: u64,
    displaced: Arc<Notify>,
}

impl Handshake {
    /// Ready once it has to give way.
    pub async fn displaced(&self) {
        self.displaced.notified().await;
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        self.among.going_on.lock().all.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn past_the_bound_the_oldest_gives_way_and_nobody_else() {
        let handshakes = Handshakes::new(2);
        let (first, second) = (handshakes.begin(), handshakes.begin());
        assert_eq!(first.displaced().now_or_never(), None);
        let third = handshakes.begin();
        assert_eq!(first.displaced().now_or_never(), Some(()));
        assert_eq!(second.displaced().now_or_never(), None);
        drop(second);
        let fourth = handshakes.begin();
        assert_eq!(third.displaced().now_or_never(), None, "there is room");
        drop(first);
        assert_eq!(handshakes.count(), 2);
        drop((third, fourth));
        assert_eq!(handshakes.count(), 0);
    }
}
