//! A message that is lost while its connection lives shows by its successor, or not at all if it was
//! the channel's last. So the index is compared with what was delivered now and then.

use super::Listener;
use crate::event_log::redis::{epochs::before, store::Wanted};
use std::time::{Duration, Instant};

/// How often quiet channels are checked.
pub(super) const EVERY: Duration = Duration::from_secs(5);

impl Listener {
    /// Looks at the head, since something of another epoch was seen or somebody waits: if the index has
    /// nothing that was not delivered, everything up to the head was.
    pub(super) async fn look(&mut self) {
        if !self.is_holding() {
            self.compare().await;
        }
    }

    /// What the index knew at the last check and was not delivered since then is missing.
    pub(super) async fn check(&mut self) {
        let missed = self.suspects.drain(..).any({
            let view = self.log.view.lock();
            move |(channel, last)| {
                view.delivered_of(&channel)
                    .is_some_and(|delivered| delivered < last)
            }
        });
        if missed {
            tracing::warn!(
                event = "log.missed",
                partition = self.log.store.partition().get(),
                "messages did not come though their connection lives; they are read from the log"
            );
            return self.fall_behind();
        }
        let moved = self.compare().await;
        self.suspects = moved
            .into_iter()
            .map(|wanted| (wanted.channel, wanted.last))
            .collect();
    }

    /// Channels of which the index knows more than was delivered; it may be on its way.
    async fn compare(&mut self) -> Vec<Wanted> {
        let (epoch, began) = (self.log.view.lock().epoch(), Instant::now());
        let head = match self.log.store.epochs().await {
            // nobody's cursor passes a loss that is not told
            Ok((Some(head), ended))
                if Some(head.epoch) == epoch && !self.told.lacks(&before(head.epoch, &ended)) =>
            {
                head
            }
            Ok(_) => {
                self.fall_behind();
                return Vec::new();
            }
            Err(_) => return Vec::new(), // the canary tells of that
        };
        self.note_purges(head.purges);
        self.log.looked(began, &head);
        let moved = match self.moved(head.last).await {
            Ok(moved) => moved,
            Err(_) => return Vec::new(),
        };
        if moved.is_empty() && !self.is_holding() {
            self.log.view.lock().verify(head.last);
            let at = self.log.view.lock().place();
            if let Some(at) = at {
                self.tail.advance(at);
            }
        }
        moved
    }
}
