//! The benchmark: a floor to compare with, a load generator that sees every fault, and a suite.
//!
//! Absolute figures differ from machine to machine and from hour to hour. What means something is
//! the ratio between a server and the [`floor`] measured minutes apart on the same cores.

pub mod floor;
pub mod load;
pub mod machine;
pub mod measure;
pub mod peers;
pub mod poller;
pub mod process;
pub mod relay;
pub mod report;
pub mod scenario;
pub mod suite;
