//! Streams whose holder shows a new credential.

use super::Shard;
use crate::hub::{
    extend::{Extended, Extension},
    open::Life,
};
use std::sync::Arc;

impl Shard {
    /// `None` when there is no such stream. What is planned for the end before finds the new one.
    pub(super) fn extend(&mut self, number: u64, extension: &Extension) -> Option<Extended> {
        let index = self.by_number.get(&number).copied()?;
        let stream = self
            .stream_mut(index)
            .filter(|stream| !stream.is_closing())?;
        let (who, expires) = match extension.judge(&stream.info, stream.expires) {
            Ok(judged) => judged,
            Err(refused) => return Some(refused),
        };
        stream.expires = expires;
        Arc::make_mut(&mut stream.info).who = who;
        let info = stream.info.clone();
        (self.edge.watch)(&info, Life::Extended(expires));
        Some(Extended::Until(expires))
    }
}
