//! The command line's clients: `listen` and `publish`.
//!
//! Exit codes: 0 all went well; 1 failed; 2 wrong usage; 3 refused by the server; 4 cannot connect.

pub mod backoff;
pub mod check;
pub mod client;
pub mod listen;
pub mod options;
pub mod publish;
pub mod redis_acl;
pub mod redis_agent;
pub mod redis_move;
pub mod swf;
pub mod token;
