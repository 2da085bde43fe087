//! The relay inside this process: what it allocates can be counted.

use relay_config::Config;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sse_relay::{
    audit::Audit,
    clock::unix_millis,
    cursor::Epoch,
    event_log::{
        Retention,
        memory::{MAX_CHANNELS, MemoryLog, MemoryOptions},
    },
    http::{self, App},
    hub::Hub,
    settings::{Live, Settings},
    stats::Stats,
};
use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Tokens with a subject, a grant and a filter; limits of every kind; one thread.
pub fn configuration() -> serde_json::Value {
    let limit = serde_json::json!({"streams": 100_000, "opensPerSecond": 1_000_000, "publishesPerSecond": 1_000_000});
    let hash = sse_relay::auth::hash_of;
    serde_json::json!({
        "auth": {"tokens": [
            {"name": "backend", "sha256": hash("backend-secret"), "publish": ["**"]},
            {"name": "reader", "sha256": hash("reader-secret"), "subscribe": ["cost"], "subject": "reader"},
        ]},
        "limits": {"total": limit, "perSubject": limit, "perAddress": limit},
        "http": {"threads": 1},
        "drain": {"propagation": "0s", "window": "0s"},
        // none comes while something is counted
        "heartbeat": {"interval": "10m"},
    })
}

/// Its delivery thread goes with the process of the test.
pub struct Inside {
    pub public: SocketAddr,
    _stop: watch::Sender<bool>,
}

/// Both ends of a thousand streams are files of this process.
fn raise_open_files() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    setrlimit(Resource::Nofile, raised).expect("up to the hard limit anybody may");
}

impl Inside {
    pub fn start() -> Inside {
        raise_open_files();
        let text = configuration().to_string();
        let config = Config::from_sources(Some(("config", &text)), &BTreeMap::new());
        let config = config.expect("a legal configuration");
        let hub = Hub::new(1, Arc::new(Stats::default()));
        let retention = Retention {
            events: 100,
            age: Duration::from_secs(36_000),
            bytes: 1 << 30,
        };
        let options = MemoryOptions {
            retention: Arc::new(move |_| retention),
            max_bytes: 1 << 30,
            max_channels: MAX_CHANNELS,
            idempotency_window: Duration::from_secs(60),
            max_idempotency_keys: 10,
            clock: Arc::new(unix_millis),
        };
        let log = MemoryLog::new(options, Epoch::from_random(1), hub.clone());
        let live = Arc::new(Live::new(Settings::new(config).expect("legal settings")));
        let audit = Audit::open(&live.settings().config.audit).expect("none is written");
        let app = Arc::new(App::new(
            hub,
            Arc::new(log),
            live,
            audit,
            "inside".to_owned(),
        ));
        let (stop, stopped) = watch::channel(false);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let public = listener.local_addr().expect("it is bound");
        listener.set_nonblocking(true).expect("a socket");
        let listeners = vec![listener.into()];
        http::server::start(&app, &http::router(app.clone()), listeners, None, &stopped)
            .expect("it starts");
        Inside {
            public,
            _stop: stop,
        }
    }
}
