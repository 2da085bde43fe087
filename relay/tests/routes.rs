//! The paths of other systems, as the files of `examples/routes/` have them, against the real relay and
//! what those systems were seen to send.

#![allow(clippy::unwrap_used)]

#[path = "routes/app_qg_api.rs"]
mod app_qg_api;
#[path = "forward/application.rs"]
mod application;
#[path = "routes/capture.rs"]
mod capture;
#[path = "routes/example.rs"]
mod example;
#[path = "routes/monitor.rs"]
mod monitor;
#[path = "routes/notices.rs"]
mod notices;
#[path = "routes/reload.rs"]
mod reload;
#[path = "routes/sai_dashboard.rs"]
mod sai_dashboard;
#[path = "routes/sse_relay_server.rs"]
mod sse_relay_server;
mod support;
#[path = "routes/swf_monitor.rs"]
mod swf_monitor;
#[path = "routes/swf_testbed.rs"]
mod swf_testbed;
