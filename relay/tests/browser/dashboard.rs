//! The dashboard in a browser, and the questions that the tests ask it.

use std::time::{Duration, Instant};

use fantoccini::{Client, Locator};
use serde_json::{Value, json};

use crate::chrome::{Chrome, Extension};
use crate::relay::Relay;

/// Generous: a wait ends as soon as its condition holds.
const LIMIT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);

/// The relay, a browser, and the relay's page in it.
pub struct Dashboard {
    pub relay: Relay,
    pub client: Client,
    _chrome: Chrome,
}

impl Dashboard {
    pub async fn open() -> Self {
        Self::open_with(&[]).await
    }

    /// Opens the page after these DevTools commands.
    pub async fn open_with(commands: &[(&str, Value)]) -> Self {
        Self::open_on(Relay::start().await, commands).await
    }

    /// Opens the page of a relay that asks for credentials.
    pub async fn open_guarded(auth: Value) -> Self {
        let settings = vec![("SSE_RELAY_AUTH", auth.to_string())];
        Self::open_on(Relay::start_configured(settings).await, &[]).await
    }

    /// Opens a page that is not the relay's.
    pub async fn open_at(relay: Relay, page: &str) -> Self {
        let dashboard = Self::new(relay).await;
        dashboard.client.goto(page).await.expect("the page opens");
        dashboard
    }

    async fn new(relay: Relay) -> Self {
        let (chrome, client) = Chrome::start().await;
        Self {
            relay,
            client,
            _chrome: chrome,
        }
    }

    async fn open_on(relay: Relay, commands: &[(&str, Value)]) -> Self {
        let dashboard = Self::new(relay).await;
        for (command, parameters) in commands {
            dashboard
                .issue(Extension::devtools(command, parameters.clone()))
                .await;
        }
        let page = dashboard.relay.url();
        dashboard.client.goto(&page).await.expect("the page opens");
        dashboard
    }

    async fn issue(&self, command: Extension) -> Value {
        self.client
            .issue_cmd(command)
            .await
            .expect("chromedriver obeys")
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
            if started.elapsed() > LIMIT {
                let page = self.eval("document.body.innerText.slice(0, 2000)").await;
                panic!(
                    "in {LIMIT:?} this did not become true: {expression}\nthe page says: {page}"
                );
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Waits until the element's text is this.
    pub async fn until_text(&self, css: &str, text: &str) {
        self.until(&format!(
            "document.querySelector({css:?})?.textContent === {text:?}"
        ))
        .await;
    }

    /// Waits until the element's `data-state` is this.
    pub async fn until_state(&self, css: &str, state: &str) {
        self.until(&format!(
            "document.querySelector({css:?})?.dataset.state === {state:?}"
        ))
        .await;
    }

    pub async fn text(&self, css: &str) -> String {
        let text = self
            .eval(&format!("document.querySelector({css:?}).textContent"))
            .await;
        text.as_str().expect("an element has text").to_owned()
    }

    /// Clicks where a user would.
    pub async fn click(&self, css: &str) {
        let element = self.client.find(Locator::Css(css)).await;
        let element = element.unwrap_or_else(|error| panic!("{css}: {error}"));
        element
            .click()
            .await
            .unwrap_or_else(|error| panic!("{css} cannot be clicked: {error}"));
    }

    /// Types into a field in place of what it held.
    pub async fn fill(&self, css: &str, text: &str) {
        let element = self.client.find(Locator::Css(css)).await;
        let element = element.unwrap_or_else(|error| panic!("{css}: {error}"));
        element.clear().await.expect("a field can be emptied");
        element
            .send_keys(text)
            .await
            .expect("a field can be typed into");
    }

    /// Connects the inspector and waits until its stream is attached.
    pub async fn inspect(&self, channels: &str, filters: &str, from: &str) {
        self.connect(channels, filters, from).await;
        // The first block tells that the relay has attached the stream.
        self.until(
            "document.querySelector('#inspector-events > li[data-type=connected]') !== null",
        )
        .await;
    }

    /// Connects the inspector and waits until its stream is live.
    pub async fn connect(&self, channels: &str, filters: &str, from: &str) {
        self.fill("#inspector-channels", channels).await;
        self.fill("#inspector-filters", filters).await;
        self.click(&format!("#inspector-from option[value={from}]"))
            .await;
        self.click("#inspector-connect").await;
        self.until_state("#inspector-state", "live").await;
    }

    /// Publishes through the form and returns the id it shows.
    pub async fn publish(&self, channel: &str, attributes: &str, data: &str) -> String {
        self.fill("#publish-channel", channel).await;
        self.fill("#publish-type", "order").await;
        self.fill("#publish-data", data).await;
        self.fill("#publish-attributes", attributes).await;
        let before = self.text("#publish-result").await;
        self.click("#publish-submit").await;
        let result = "document.querySelector('#publish-result').textContent";
        let said = self
            .until(&format!("{result} !== {before:?} && {result}"))
            .await;
        let said = said.as_str().expect("text");
        let id = said.strip_prefix("Published as ");
        id.unwrap_or_else(|| panic!("publishing failed: {said}"))
            .to_owned()
    }

    /// Ids of the published events in the inspector's list, newest first.
    pub async fn listed(&self) -> Vec<String> {
        let ids = "[...document.querySelectorAll('#inspector-events > li[data-type=order]')].map((item) => item.dataset.id)";
        let ids = self.eval(ids).await;
        let ids = ids.as_array().expect("an array");
        ids.iter()
            .map(|id| id.as_str().expect("an id").to_owned())
            .collect()
    }

    /// Waits until the inspector lists an event with this id.
    pub async fn until_listed(&self, id: &str) {
        self.until(&format!(
            "document.querySelector('#inspector-events > li[data-id={id:?}]') !== null"
        ))
        .await;
    }

    /// The browser's complaints since the last call: errors, warnings, and refusals by policy.
    pub async fn complaints(&self) -> Vec<String> {
        let entries = self.issue(Extension::console()).await;
        let entries = entries.as_array().expect("the log is an array");
        entries
            .iter()
            .filter(|entry| matches!(entry["level"].as_str(), Some("SEVERE" | "WARNING")))
            .map(|entry| entry["message"].as_str().unwrap_or_default().to_owned())
            .collect()
    }

    /// Asserts that the browser found nothing to complain about.
    pub async fn assert_quiet(&self) {
        assert_eq!(self.complaints().await, Vec::<String>::new());
    }
}

/// The DevTools command for a phone's screen.
pub fn phone() -> (&'static str, Value) {
    let screen = json!({"width": 360, "height": 780, "deviceScaleFactor": 2, "mobile": true});
    ("Emulation.setDeviceMetricsOverride", screen)
}

/// The DevTools command for a preferred colour scheme.
pub fn colour_scheme(name: &str) -> (&'static str, Value) {
    let media = json!({"features": [{"name": "prefers-color-scheme", "value": name}]});
    ("Emulation.setEmulatedMedia", media)
}
