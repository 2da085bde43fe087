//! A page in a browser of its own.

use crate::chrome::{Chrome, Extension};
use fantoccini::Client;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Generous: a wait ends as soon as its condition holds.
const LIMIT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);

pub struct Page {
    client: Client,
    _chrome: Chrome,
}

impl Page {
    pub async fn open(url: &str) -> Page {
        let (chrome, client) = Chrome::start().await;
        client.goto(url).await.expect("the page opens");
        Page {
            client,
            _chrome: chrome,
        }
    }

    pub async fn goto(&self, url: &str) {
        self.client.goto(url).await.expect("the page opens");
    }

    /// The value of a JavaScript expression.
    pub async fn eval(&self, expression: &str) -> Value {
        let script = format!("return ({expression});");
        let value = self.client.execute(&script, vec![]).await;
        value.unwrap_or_else(|error| panic!("{expression}: {error}"))
    }

    /// Waits until an expression is truthy and returns its value.
    pub async fn until(&self, expression: &str) -> Value {
        let started = Instant::now();
        loop {
            let value = self.eval(expression).await;
            if !matches!(value, Value::Null | Value::Bool(false)) && value != 0 && value != "" {
                return value;
            }
            assert!(
                started.elapsed() < LIMIT,
                "this did not become true: {expression}\nseen: {}\nthe page says: {}",
                self.eval("window.seen ?? null").await,
                self.eval("document.body.innerText.slice(0, 2000)").await
            );
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// What the browser's console got since the last time, of errors and warnings.
    pub async fn complaints(&self) -> Vec<String> {
        let entries = self.client.issue_cmd(Extension::console()).await;
        let entries = entries.expect("chromedriver obeys");
        let entries = entries.as_array().expect("the log is an array").iter();
        entries
            .filter(|entry| matches!(entry["level"].as_str(), Some("SEVERE" | "WARNING")))
            .map(|entry| entry["message"].as_str().unwrap_or_default().to_owned())
            .collect()
    }

    /// A screen of this size in CSS pixels, in this colour scheme.
    pub async fn show(&self, width: u32, height: u32, scheme: &str) {
        let screen = json!({"width": width, "height": height, "deviceScaleFactor": 2, "mobile": width < 500});
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        for (command, parameters) in [
            ("Emulation.setDeviceMetricsOverride", screen),
            ("Emulation.setEmulatedMedia", media),
        ] {
            let command = Extension::devtools(command, parameters);
            self.client
                .issue_cmd(command)
                .await
                .expect("chromedriver obeys");
        }
    }

    /// A picture as PNG, into the folder of `TEST_PICTURES` if that is set.
    pub async fn picture(&self, name: &str) {
        if let Ok(folder) = std::env::var("TEST_PICTURES") {
            let picture = self.client.screenshot().await.expect("a picture");
            std::fs::write(format!("{folder}/{name}.png"), picture).expect("it is written");
        }
    }
}
