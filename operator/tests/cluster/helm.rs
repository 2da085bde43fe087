//! Helm 3 and 4, with the chart.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::server::Server;

/// Where the chart is installed, and as what.
pub const NAMESPACE: &str = "sse-relay-system";
/// Its release, and so the name of the operator's ServiceAccount.
pub const RELEASE: &str = "sse-relay-operator";

/// The chart of this checkout.
pub fn chart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/sse-relay-operator")
}

/// One of the two Helms that people have.
pub struct Helm {
    program: String,
    /// What it keeps between runs.
    folder: TempDir,
}

impl Helm {
    /// Both.
    pub fn each() -> [Self; 2] {
        [Self::of("3"), Self::of("4")]
    }

    /// The one of this major version; it is built the first time.
    pub fn of(major: &str) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/helm.sh");
        let output = Command::new("sh")
            .arg(script)
            .arg(major)
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        assert!(output.status.success(), "there is no Helm {major}");
        Self {
            program: String::from_utf8(output.stdout).unwrap().trim().to_owned(),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// What it says, or what it complains of.
    pub fn run(&self, arguments: &[&str]) -> Result<String, String> {
        let output = Command::new(&self.program)
            .args(arguments)
            .env("HELM_CACHE_HOME", self.folder.path().join("cache"))
            .env("HELM_CONFIG_HOME", self.folder.path().join("config"))
            .env("HELM_DATA_HOME", self.folder.path().join("data"))
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        if output.status.success() {
            Ok(text(output.stdout))
        } else {
            Err(text(output.stderr) + &text(output.stdout))
        }
    }

    /// The same, against a server, in the operator's namespace.
    pub fn at(&self, server: &Server, arguments: &[&str]) -> Result<String, String> {
        let kubeconfig = server.kubeconfig();
        let mut all = arguments.to_vec();
        all.extend(["--kubeconfig", kubeconfig.to_str().unwrap()]);
        all.extend(["--namespace", NAMESPACE]);
        self.run(&all)
    }

    /// Installs the chart without the definition, which a server of the tests has.
    pub fn install(&self, server: &Server, more: &[&str]) {
        let chart = chart();
        let mut all = vec!["install", RELEASE, chart.to_str().unwrap()];
        all.extend(["--create-namespace", "--set", "crds.enabled=false"]);
        all.extend(more);
        self.at(server, &all).unwrap();
    }

    /// The objects of the chart with these arguments.
    pub fn render(&self, more: &[&str]) -> Vec<Value> {
        let chart = chart();
        let mut all = vec!["template", RELEASE, chart.to_str().unwrap()];
        all.extend(["--namespace", NAMESPACE]);
        all.extend(more);
        let text = self.run(&all).unwrap();
        let documents = text.split("\n---\n").map(|text| {
            let text = text.strip_prefix("---\n").unwrap_or(text);
            serde_saphyr::from_str::<Value>(text).unwrap()
        });
        documents.filter(Value::is_object).collect()
    }
}
