//! Real Redis servers on free loopback ports, in directories that go away with them.
#![allow(dead_code, reason = "each file of tests uses a part of it")]

#[path = "redis/server.rs"]
mod server;

pub use server::{Server, replication_id};

use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

/// Everything that is waited for comes within this, or the test fails.
pub const LIMIT: Duration = Duration::from_secs(20);

/// Ports that were free a moment ago.
pub fn free_ports<const N: usize>() -> [u16; N] {
    let held = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    held.map(|listener| listener.local_addr().expect("it is bound").port())
}

/// Asks again and again until there is an answer.
pub fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < LIMIT, "{what} did not come");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Like [`until`], for answers that are awaited.
pub async fn until_async<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut ask: impl FnMut() -> F,
) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(start.elapsed() < LIMIT, "{what} did not come");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
