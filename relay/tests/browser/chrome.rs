//! A chromium of one's own, driven through chromedriver on loopback.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fantoccini::wd::{Capabilities, WebDriverCompatibleCommand};
use fantoccini::{Client, ClientBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;

const ADVICE: &str = "the browser tests need Chromium and chromedriver: run scripts/install-browser.sh, \
     or install Debian's packages `chromium` and `chromium-driver`";

/// chromedriver and the profile of the one browser it runs; both end with it.
pub struct Chrome {
    driver: Child,
    port: u16,
    _profile: TempDir,
}

impl Chrome {
    /// Starts a headless browser.
    pub async fn start() -> (Self, Client) {
        let browser = program(&["chromium", "chromium-browser", "google-chrome"]);
        let (driver, port) = start_driver(&program(&["chromedriver"]));
        let profile = TempDir::new().expect("a directory for the browser's profile");
        // Made before the session, so that a failure to open one still ends the driver.
        let chrome = Self {
            driver,
            port,
            _profile: profile,
        };
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            // Smooth scrolling would move what is about to be clicked.
            "--force-prefers-reduced-motion",
            "--window-size=1280,1000",
            &format!("--user-data-dir={}", chrome._profile.path().display()),
        ];
        let wanted = json!({
            "browserName": "chrome",
            "goog:chromeOptions": {"binary": browser, "args": arguments},
            "goog:loggingPrefs": {"browser": "ALL"},
        });
        let Value::Object(wanted) = wanted else {
            unreachable!("an object was written above")
        };
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(Capabilities::from_iter(wanted))
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .expect("chromedriver opens a session");
        (chrome, client)
    }
}

impl Drop for Chrome {
    /// Asks chromedriver to end its browser and itself; a killed one would leave the browser behind.
    fn drop(&mut self) {
        if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) {
            let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
            let _ = stream.write_all(
                b"GET /shutdown HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
            );
            let _ = stream.read_to_end(&mut Vec::new());
        }
        for _ in 0..100 {
            if let Ok(Some(_)) = self.driver.try_wait() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// The first of these programs that is in PATH.
fn program(names: &[&str]) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .flat_map(|folder| names.iter().map(move |name| folder.join(name)))
        .find(|file| file.is_file())
        .unwrap_or_else(|| panic!("no {} in PATH; {ADVICE}", names.join(" or ")))
}

/// Starts chromedriver on a port of its choosing, which it prints.
/// It ends at once if another process takes its port between its choice and its use; so it is tried again.
fn start_driver(program: &PathBuf) -> (Child, u16) {
    (0..5)
        .find_map(|_| try_driver(program))
        .unwrap_or_else(|| panic!("chromedriver ended without naming its port; {ADVICE}"))
}

fn try_driver(program: &PathBuf) -> Option<(Child, u16)> {
    let mut driver = Command::new(program)
        .arg("--port=0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("{} does not start: {error}; {ADVICE}", program.display()));
    let output = BufReader::new(driver.stdout.take().expect("stdout is piped"));
    let mut lines = output.lines().map_while(Result::ok);
    let port = lines.by_ref().find_map(|line| {
        let (_, port) = line.split_once("started successfully on port ")?;
        port.trim_end_matches('.').parse().ok()
    });
    let Some(port) = port else {
        let _ = driver.wait(); // it has closed its output, so it ends
        return None;
    };
    // Keep reading, so that chromedriver never writes to a closed pipe; ends with it.
    std::thread::spawn(move || lines.for_each(drop));
    Some((driver, port))
}

/// A command of chromedriver that WebDriver itself does not have.
#[derive(Debug)]
pub struct Extension {
    /// Path below the session's.
    path: &'static str,
    body: Value,
}

impl Extension {
    /// What the browser's console got since the last time.
    pub fn console() -> Self {
        Self {
            path: "se/log",
            body: json!({"type": "browser"}),
        }
    }

    /// A command of the Chrome DevTools Protocol.
    pub fn devtools(command: &str, parameters: Value) -> Self {
        Self {
            path: "goog/cdp/execute",
            body: json!({"cmd": command, "params": parameters}),
        }
    }
}

impl WebDriverCompatibleCommand for Extension {
    fn endpoint(
        &self,
        base: &url::Url,
        session: Option<&str>,
    ) -> Result<url::Url, url::ParseError> {
        base.join(&format!(
            "session/{}/{}",
            session.unwrap_or_default(),
            self.path
        ))
    }

    fn method_and_body(&self, _: &url::Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(self.body.to_string()))
    }
}
