//! Pages as the replaced systems have them, in a real Chromium, and the page of `examples/web/`, against the
//! relay with the files of `examples/routes/`.

#![allow(clippy::unwrap_used)]

#[path = "forward/application.rs"]
mod application;
#[path = "browser/chrome.rs"]
mod chrome;
#[path = "routes/example.rs"]
#[allow(dead_code, reason = "the tests of routes use more of it")]
mod example;
#[path = "pages/example_page.rs"]
mod example_page;
#[path = "pages/page.rs"]
mod page;
#[path = "fronts/proxy.rs"]
#[allow(dead_code, reason = "only nginx is needed here")]
mod proxy;
#[path = "pages/sai_dashboard.rs"]
mod sai_dashboard;
mod support;
#[path = "pages/swf_monitor.rs"]
mod swf_monitor;

/// Runs a test's future to its end.
fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime starts")
        .block_on(test);
}
