//! The operator against a real API server.

#![allow(clippy::unwrap_used)] // allowed in tests, but not found out for helpers here

mod cluster {
    pub mod helm;
    pub mod operator;
    pub mod programs;
    pub mod server;

    mod bad_input;
    mod change;
    mod chart;
    mod derived;
    mod election;
    mod fault;
    mod gateway;
    mod life;
    mod managed;
    mod many;
    mod paths;
    mod prove;
    mod redis;
    mod roles;
    mod rules;
    mod scaling;
    mod versions;

    use server::{PATIENCE, Server};
    use tokio::sync::OnceCell;

    /// The server that tests share; each has a namespace of its own.
    pub async fn shared() -> &'static Server {
        static SHARED: OnceCell<Server> = OnceCell::const_new();
        SHARED.get_or_init(Server::start).await
    }

    /// Waits until `look` finds something, and returns it.
    pub async fn until<T>(what: &str, look: impl AsyncFn() -> Option<T>) -> T {
        patiently(PATIENCE, what, look).await
    }

    /// Waits for at most `patience` until `look` finds something, and returns it.
    pub async fn patiently<T>(
        patience: std::time::Duration,
        what: &str,
        look: impl AsyncFn() -> Option<T>,
    ) -> T {
        let found = async {
            loop {
                if let Some(found) = look().await {
                    return found;
                }
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        };
        match tokio::time::timeout(patience, found).await {
            Ok(found) => found,
            Err(_) => panic!("waited in vain until {what}"),
        }
    }
}
