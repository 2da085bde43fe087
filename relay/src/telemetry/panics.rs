//! A panic is a log line as well.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    panic::PanicHookInfo,
};

/// From here on, instead of the text that the standard library writes.
pub fn log() {
    std::panic::set_hook(Box::new(panicked));
}

fn panicked(panic: &PanicHookInfo<'_>) {
    let backtrace = Backtrace::capture(); // only with RUST_BACKTRACE
    let captured = backtrace.status() == BacktraceStatus::Captured;
    tracing::error!(
        event = "process.panicked",
        thread = std::thread::current().name(),
        location = panic.location().map(tracing::field::display),
        backtrace = captured.then(|| tracing::field::display(&backtrace)),
        "{}",
        panic.payload_as_str().unwrap_or("without a message")
    );
}
