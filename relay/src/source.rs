//! Sources: where events are pulled from, besides what publishers hand over.

pub mod demo;
