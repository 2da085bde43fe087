//! What a run adds up to, over all streams.

use super::histogram::Histogram;
use super::ledger::Entry;

#[derive(Default)]
pub struct Books {
    pub latency: Histogram,
    pub latency_scheduled: Histogram,
    pub first_publish: Option<u64>,
    pub last_delivery: u64,
    /// The last time that anything arrived.
    pub last_sign: u64,
    pub delivered: u64,
    pub undelivered: u64,
    pub outstanding: u32,
    pub reads: u64,
    pub refused: u64,
}

impl Books {
    pub fn published(&mut self, now: u64, audience: u32) {
        self.first_publish.get_or_insert(now);
        self.undelivered += u64::from(audience);
        self.outstanding += u32::from(audience > 0);
    }

    pub fn deliver(&mut self, entry: &mut Entry, now: u64) {
        self.latency.record(now.saturating_sub(entry.sent));
        self.latency_scheduled
            .record(now.saturating_sub(entry.scheduled));
        self.delivered += 1;
        self.last_delivery = now;
        self.arrived(entry);
    }

    /// One stream less to wait for.
    pub fn arrived(&mut self, entry: &mut Entry) {
        if entry.awaited > 0 {
            entry.awaited -= 1;
            self.undelivered -= 1;
            self.outstanding -= u32::from(entry.awaited == 0);
        }
    }

    pub fn refused(&mut self, entry: &mut Entry) {
        self.refused += 1;
        self.undelivered -= u64::from(entry.awaited);
        self.outstanding -= u32::from(entry.awaited > 0);
        entry.awaited = 0;
    }
}
