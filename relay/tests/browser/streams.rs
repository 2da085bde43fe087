//! Who is connected, on the dashboard, and what the entitled do about it.

use fantoccini::Locator;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::dashboard::Dashboard;
use crate::run;

const OPERATOR: &str = "operator-secret";
const OBSERVER: &str = "observer-secret";
const ANN: &str = "ann-secret";

async fn guarded() -> Dashboard {
    let hash = |secret| sse_relay::auth::hash_of(secret);
    let page = Dashboard::open_guarded(json!({"tokens": [
        {"name": "operator", "sha256": hash(OPERATOR), "subscribe": ["**"], "publish": ["**"], "manage": ["observe", "disconnect"]},
        {"name": "observer", "sha256": hash(OBSERVER), "manage": ["observe"]},
        {"name": "page-ann", "sha256": hash(ANN), "subject": "ann", "subscribe": ["orders.*"]},
    ]}))
    .await;
    page.until("!document.querySelector('#token-form').hidden")
        .await;
    page
}

async fn use_token(page: &Dashboard, token: &str) {
    page.eval("window.scrollTo(0, 0)").await;
    page.fill("#token", token).await;
    page.click("#token-use").await;
    page.until("document.querySelector('#status-problem').textContent === ''")
        .await;
}

/// A stream of ann's, as a program opens it.
async fn subscribe(page: &Dashboard, client: &str) -> TcpStream {
    let mut stream = TcpStream::connect(page.relay.address())
        .await
        .expect("it listens");
    let head = format!(
        "GET /v1/events?channel=orders.eu&client={client}&filter.kind=a HTTP/1.1\r\nHost: localhost\r\n\
         Authorization: Bearer {ANN}\r\n\r\n"
    );
    stream
        .write_all(head.as_bytes())
        .await
        .expect("it is taken");
    stream
}

/// The text of the row of this client's stream; empty without one.
fn row(client: &str) -> String {
    format!(
        "([...document.querySelectorAll('#streams tbody tr')].find((row) => row.textContent.includes('· {client}'))?.innerText ?? '')"
    )
}

const BUTTONS: &str = "document.querySelectorAll('#streams button.act').length";

#[test]
fn the_entitled_see_whose_streams_are_open_and_end_one_and_others_go_on() {
    run(async {
        let page = guarded().await;
        use_token(&page, OPERATOR).await;
        let mut victim = subscribe(&page, "victim").await;
        let mut other = subscribe(&page, "other").await;
        for (kind, data) in [("a", "x"), ("b", "x")] {
            let event = json!({"data": data, "attributes": {"kind": kind}}).to_string();
            let path = "/v1/channels/orders.eu/events";
            let (status, _) = page.relay.ask("POST", path, OPERATOR, &event).await;
            assert_eq!(status, 201);
        }
        let shown = format!(
            "/ann · victim.*127\\.0\\.0\\.1:\\d+.*orders\\.eu.*kind=a.*\\d\\d:\\d\\d:\\d\\d\\s+1\\s+1\\s+0/s.test({})",
            row("victim")
        );
        page.until(&shown).await;
        let find = "(() => { const rows = [...document.querySelectorAll('#streams tbody tr')];
            const row = rows.find((row) => row.textContent.includes('· victim'));
            row.querySelector('button.act').id = 'end-it'; return true; })()";
        page.until(find).await;
        page.click("#end-it").await;
        page.until_text("#end-it", "Really?").await;
        assert_ne!(
            page.eval(&row("victim")).await,
            "",
            "one press ends nothing"
        );
        page.click("#end-it").await;
        page.until_state("#streams-result", "done").await;
        page.until(&format!("{} === ''", row("victim"))).await;
        let mut told = String::new();
        victim
            .read_to_string(&mut told)
            .await
            .expect("it ends well");
        assert!(told.contains("{\"reason\":\"disconnected\"}"), "{told}");
        assert_ne!(page.eval(&row("other")).await, "");
        let event = json!({"data": "still there", "attributes": {"kind": "a"}}).to_string();
        page.relay
            .ask("POST", "/v1/channels/orders.eu/events", OPERATOR, &event)
            .await;
        let mut got = Vec::new();
        while !String::from_utf8_lossy(&got).contains("still there") {
            assert_ne!(other.read_buf(&mut got).await.expect("it lives"), 0);
        }
        let text = page
            .eval("document.documentElement.outerHTML")
            .await
            .to_string();
        for secret in [OPERATOR, ANN] {
            assert!(!text.contains(secret));
        }
        // who may not end streams is not offered it
        use_token(&page, OBSERVER).await;
        page.until(&format!("{BUTTONS} === 0")).await;
        assert!(
            page.eval("document.querySelector('#streams-act').hidden")
                .await
                == true
        );
        page.until(&format!("{} !== ''", row("other"))).await;
    });
}

#[test]
fn an_armed_button_forgets_and_its_column_stays_where_it_is() {
    run(async {
        let page = guarded().await;
        use_token(&page, OPERATOR).await;
        let _stream = subscribe(&page, "web").await;
        page.until(&format!("{BUTTONS} > 0")).await;
        let button = page.client.find(Locator::Css("#streams button.act")).await;
        button
            .expect("it is there")
            .click()
            .await
            .expect("it can be pressed");
        let at = "Math.round(document.querySelector('#streams button.act').getBoundingClientRect().width)";
        let armed = page.eval(at).await;
        page.until("document.querySelector('#streams button.act').textContent === 'Really?'")
            .await;
        page.until("document.querySelector('#streams button.act').textContent === 'End'")
            .await;
        assert_eq!(page.eval(at).await, armed);
    });
}
