//! An event for one stream alone, on its way there.

use crate::{event::Attributes, frame::Frame};
use jiff::Timestamp;

/// What a stream gets, and what a route's dialect may say of it besides.
#[derive(Clone, Debug)]
pub struct DirectEvent {
    /// In the relay's own words, which have neither attributes nor a time.
    pub frame: Frame,
    pub attributes: Attributes,
    /// When it happened, if its publisher says so.
    pub time: Option<Timestamp>,
}
