//! A real API server with its etcd, on free ports of loopback, gone with the test.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::PostParams;
use kube::config::AuthInfo;
use kube::{Api, Client, Config};
use sse_relay_operator::crd::definition;
use tempfile::TempDir;

use super::programs::free_port;
use super::until;

/// Whom a client is to the API server.
#[derive(Debug, Clone, Copy)]
pub enum User {
    /// May do everything.
    Admin,
    /// May do what a test allows.
    Limited,
}

impl User {
    fn token(self) -> &'static str {
        match self {
            User::Admin => "admin-token",
            User::Limited => "limited-token",
        }
    }
}

/// A real API server with its etcd.
pub struct Server {
    folder: TempDir,
    port: u16,
    etcd_port: u16,
    api_server: Option<Process>,
    _etcd: Process,
}

/// A process that ends when this is dropped, and also when the test's process dies in any way: it
/// lives as long as the pipe to its keeper.
pub struct Process(Child);

impl Process {
    /// Starts `command`; what it writes goes to `log`.
    pub fn start(command: &[String], log: &Path) -> Self {
        let log = std::fs::File::create(log).unwrap();
        let child = Command::new("sh")
            .args([
                "-c",
                "\"$@\" & child=$!; cat; kill -KILL $child; wait $child",
                "keeper",
            ])
            .args(command)
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Self(child)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait(); // it ends since its keeper's pipe is closed
    }
}

/// What starts a component: a program of that name, or one that is all of them.
fn component(name: &str) -> Vec<String> {
    if let Some(folder) = std::env::var_os("KUBEBUILDER_ASSETS") {
        return vec![Path::new(&folder).join(name).display().to_string()];
    }
    static PROGRAM: OnceLock<String> = OnceLock::new();
    let program = PROGRAM.get_or_init(|| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/kubernetes.sh");
        let output = Command::new("sh")
            .arg(script)
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "there is no Kubernetes to test with"
        );
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    });
    vec![program.clone(), name.to_owned()]
}

impl Server {
    /// Starts one, with the definition of SseRelay installed.
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("account.key");
        let made = Command::new("openssl")
            .args(["genrsa", "-out"])
            .arg(&key)
            .arg("2048")
            .stderr(Stdio::null())
            .status();
        assert!(made.unwrap().success(), "openssl makes a key");
        let tokens = "admin-token,admin,admin,system:masters\nlimited-token,limited,limited\n";
        std::fs::write(folder.path().join("tokens.csv"), tokens).unwrap();
        let etcd_port = free_port();
        let mut server = Self {
            _etcd: etcd(folder.path(), etcd_port),
            folder,
            port: free_port(),
            etcd_port,
            api_server: None,
        };
        server.start_api_server().await;
        let client = server.client(User::Admin);
        let definitions: Api<CustomResourceDefinition> = Api::all(client);
        definitions
            .create(&PostParams::default(), &definition())
            .await
            .unwrap();
        served(&definitions, "sserelays.sserelay.dev").await;
        server
    }

    /// Installs the definitions of other projects' kinds that the operator writes.
    pub async fn install_foreign_definitions(&self) {
        let script =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/foreign-definitions.sh");
        let output = Command::new("sh")
            .arg(script)
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "there are no definitions to test with"
        );
        let definitions: Api<CustomResourceDefinition> = Api::all(self.client(User::Admin));
        for path in String::from_utf8(output.stdout).unwrap().lines() {
            let text = std::fs::read_to_string(path).unwrap();
            let definition: CustomResourceDefinition = serde_saphyr::from_str(&text).unwrap();
            definitions
                .create(&PostParams::default(), &definition)
                .await
                .unwrap();
            served(&definitions, &definition.metadata.name.unwrap()).await;
        }
    }

    /// The API server, on the same port as before.
    pub async fn start_api_server(&mut self) {
        let at = |name: &str| self.folder.path().join(name).display().to_string();
        let mut command = component("kube-apiserver");
        let policy = "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules: [{level: Metadata, users: [limited]}, {level: Metadata, userGroups: ['system:serviceaccounts']}, {level: None}]\n";
        std::fs::write(at("audit-policy.yaml"), policy).unwrap();
        command.extend([
            format!("--audit-policy-file={}", at("audit-policy.yaml")),
            format!("--audit-log-path={}", at("audit.log")),
            format!("--etcd-servers=http://127.0.0.1:{}", self.etcd_port),
            format!("--cert-dir={}", at("certificates")),
            "--bind-address=127.0.0.1".to_owned(),
            format!("--secure-port={}", self.port),
            "--service-cluster-ip-range=198.18.0.0/16".to_owned(),
            format!("--service-account-key-file={}", at("account.key")),
            format!("--service-account-signing-key-file={}", at("account.key")),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            format!("--token-auth-file={}", at("tokens.csv")),
            "--authorization-mode=RBAC".to_owned(),
            // as OpenShift has it: who owns an object must be allowed to finalize the owner
            "--enable-admission-plugins=OwnerReferencesPermissionEnforcement".to_owned(),
            "--shutdown-delay-duration=0s".to_owned(),
        ]);
        self.api_server = Some(Process::start(&command, &self.log("api-server")));
        let client = self.client(User::Admin);
        until("the API server answers", async || {
            let request = http::Request::get("/readyz").body(Vec::new()).unwrap();
            client.request_text(request).await.ok()
        })
        .await;
    }

    /// A client that is this ServiceAccount, with a token of its own.
    pub async fn account(&self, namespace: &str, name: &str) -> Client {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client(User::Admin), namespace);
        let (post, request) = (PostParams::default(), TokenRequest::default());
        let answer = accounts.create_token_request(name, &post, &request).await;
        let token = answer.unwrap().status.unwrap().token;
        self.bearer(token)
    }

    /// Waits until what this definition defines is served.
    pub async fn serves(&self, definition: &str) {
        served(&Api::all(self.client(User::Admin)), definition).await;
    }

    /// Everything that [`User::Limited`] and ServiceAccounts have asked for, one event in a line.
    pub fn audit(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("audit.log")).unwrap()
    }

    /// Ends the API server; etcd keeps what it knew.
    pub fn stop_api_server(&mut self) {
        self.api_server = None;
    }

    /// The controllers of Kubernetes that are named.
    pub fn controllers(&self, names: &str) -> Process {
        let mut command = component("kube-controller-manager");
        command.extend([
            format!("--kubeconfig={}", self.kubeconfig().display()),
            format!("--controllers={names}"),
            "--leader-elect=false".to_owned(),
            "--secure-port=0".to_owned(),
        ]);
        Process::start(&command, &self.log("controllers"))
    }

    fn log(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.log"))
    }

    /// A file that leads there, for programs.
    pub fn kubeconfig(&self) -> PathBuf {
        let path = self.folder.path().join("kubeconfig");
        let text = format!(
            "apiVersion: v1\nkind: Config\nclusters: [{{name: test, cluster: {{server: 'https://127.0.0.1:{}', insecure-skip-tls-verify: true}}}}]\nusers: [{{name: admin, user: {{token: admin-token}}}}]\ncontexts: [{{name: test, context: {{cluster: test, user: admin}}}}]\ncurrent-context: test\n",
            self.port
        );
        std::fs::write(&path, text).unwrap();
        path
    }

    /// A client that is `user`.
    pub fn client(&self, user: User) -> Client {
        self.bearer(user.token().to_owned())
    }

    fn bearer(&self, token: String) -> Client {
        let url = format!("https://127.0.0.1:{}", self.port);
        let mut config = Config::new(url.parse().unwrap());
        config.accept_invalid_certs = true;
        config.auth_info = AuthInfo {
            token: Some(token.into()),
            ..AuthInfo::default()
        };
        Client::try_from(config).unwrap()
    }

    /// A namespace of its own for a test.
    pub async fn namespace(&self, name: &str) -> String {
        let namespaces: Api<Namespace> = Api::all(self.client(User::Admin));
        let mut namespace = Namespace::default();
        namespace.metadata.name = Some(name.to_owned());
        // a moment after its start, the server may still be making its own
        until("the namespace is made", async || {
            match namespaces.create(&PostParams::default(), &namespace).await {
                Ok(_) => Some(()),
                Err(kube::Error::Api(status)) if status.code == 409 => Some(()),
                Err(_) => None,
            }
        })
        .await;
        name.to_owned()
    }
}

/// Waits until the API server serves what this definition defines.
async fn served(definitions: &Api<CustomResourceDefinition>, name: &str) {
    until("the definition is served", async || {
        let stored = definitions.get(name).await.ok()?;
        let conditions = stored.status?.conditions?;
        conditions
            .iter()
            .any(|c| c.type_ == "Established" && c.status == "True")
            .then_some(())
    })
    .await;
}

fn etcd(folder: &Path, port: u16) -> Process {
    let peers = format!("http://127.0.0.1:{}", free_port());
    let clients = format!("http://127.0.0.1:{port}");
    let mut command = component("etcd");
    command.extend([
        format!("--data-dir={}", folder.join("etcd").display()),
        "--unsafe-no-fsync".to_owned(),
        format!("--listen-client-urls={clients}"),
        format!("--advertise-client-urls={clients}"),
        format!("--listen-peer-urls={peers}"),
        format!("--initial-advertise-peer-urls={peers}"),
        format!("--initial-cluster=default={peers}"),
    ]);
    Process::start(&command, &folder.join("etcd.log"))
}

/// The longest that a test waits for anything.
pub const PATIENCE: Duration = Duration::from_secs(90);
