//! Several operators, of which one acts.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use sse_relay_operator::lease::{Keeper, Lost, NAME};

use super::operator::Served;
use super::server::{Server, User};
use super::{shared, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_is_given_back_is_taken_and_one_that_is_taken_away_is_lost() {
    let server = shared().await;
    let client = server.client(User::Admin);
    let namespace = server.namespace("lease").await;
    let keeper = |me: &str| Keeper::new(client.clone(), &namespace, NAME, me);
    let (one, other) = (keeper("one"), keeper("other"));
    one.acquire().await;
    let waits = tokio::time::timeout(Duration::from_secs(3), other.acquire());
    assert!(waits.await.is_err(), "the other waits");
    one.give_back().await;
    other.acquire().await;

    let leases: Api<Lease> = Api::namespaced(client.clone(), &namespace);
    let lost = tokio::spawn(async move { other.keep().await });
    let stolen = json!({ "spec": { "holderIdentity": "thief" } });
    leases
        .patch(NAME, &PatchParams::default(), &Patch::Merge(stolen))
        .await
        .unwrap();
    assert_eq!(lost.await.unwrap(), Lost);
    let holder = leases
        .get(NAME)
        .await
        .unwrap()
        .spec
        .unwrap()
        .holder_identity;
    assert_eq!(
        holder.as_deref(),
        Some("thief"),
        "a lost Lease is not taken back"
    );
}

/// The program itself.
struct Program(Child);

impl Program {
    fn start(server: &Server, me: &str, namespace: &str) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_sse-relay-operator"))
            .args(["run", "--listen=127.0.0.1:0", "--relay-version=0.1.0"])
            .arg(format!("--namespace={namespace}"))
            .arg(format!("--lease-namespace={namespace}"))
            .arg(format!("--lease-identity={me}"))
            .env("KUBECONFIG", server.kubeconfig())
            .stderr(Stdio::null())
            .spawn();
        Self(child.unwrap())
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .arg(name)
            .arg(self.0.id().to_string())
            .status();
        assert!(sent.unwrap().success());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill(); // it may have ended by itself
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_operator_takes_over_when_the_first_ends_or_dies() {
    let server = shared().await;
    let client = server.client(User::Admin);
    let namespace = server.namespace("two-operators").await;
    let leases: Api<Lease> = Api::namespaced(client.clone(), &namespace);
    let holder = async |who: &str| {
        until(&format!("{who} acts"), async || {
            let lease = leases.get_opt(NAME).await.ok()??;
            (lease.spec?.holder_identity? == who).then_some(())
        })
        .await;
    };
    let first = Program::start(server, "first", &namespace);
    holder("first").await;
    let mut second = Program::start(server, "second", &namespace);
    let live = Served::create(&client, &namespace, "live", json!({})).await;
    live.deployment().await;

    first.signal("-KILL");
    holder("second").await;
    live.patch(json!({ "spec": { "retention": { "events": 7 } } }))
        .await;
    until("the second one acts", async || {
        live.configuration()
            .await
            .contains("events: 7")
            .then_some(())
    })
    .await;

    let _third = Program::start(server, "third", &namespace);
    second.signal("-TERM");
    holder("third").await;
    assert!(
        second.0.wait().unwrap().success(),
        "it ends well when it is asked to"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_that_lost_its_lease_ends() {
    let server = shared().await;
    let client = server.client(User::Admin);
    let namespace = server.namespace("lost-lease").await;
    let leases: Api<Lease> = Api::namespaced(client.clone(), &namespace);
    let mut program = Program::start(server, "first", &namespace);
    until("it acts", async || leases.get_opt(NAME).await.ok()?).await;
    let stolen = json!({ "spec": { "holderIdentity": "thief" } });
    leases
        .patch(NAME, &PatchParams::default(), &Patch::Merge(stolen))
        .await
        .unwrap();
    let status = tokio::task::spawn_blocking(move || program.0.wait().unwrap())
        .await
        .unwrap();
    assert!(!status.success(), "so that it is started anew");
}
