//! The one configuration document of the relay.
mod pattern;
pub use pattern::{ChannelPattern, PatternError};
