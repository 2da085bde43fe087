//! A page of another origin with a ticket, in a real Chromium: EventSource comes back with the same
//! address, as often as it likes.

use serde_json::{Value, json};

use crate::dashboard::Dashboard;
use crate::elsewhere::{awaited, elsewhere, page_beside, saw};
use crate::run;

const ANN: &str = "ann-secret";
const BOB: &str = "bob-secret";
const OPERATOR: &str = "operator-secret";

async fn page(origin: &str) -> Dashboard {
    let hash = |secret| sse_relay::auth::hash_of(secret);
    let auth = json!({"tokens": [
        {"name": "ann", "sha256": hash(ANN), "subject": "ann", "subscribe": ["orders.*"]},
        {"name": "bob", "sha256": hash(BOB), "subject": "bob", "subscribe": ["orders.*"]},
        {"name": "operator", "sha256": hash(OPERATOR), "publish": ["**"], "manage": ["observe", "disconnect"]},
    ]});
    page_beside(
        origin,
        &[
            ("SSE_RELAY_AUTH", auth),
            ("SSE_RELAY_CORS", json!({"origins": [origin]})),
            ("SSE_RELAY_LIMITS", json!({"perSubject": {"streams": 1}})),
            (
                "SSE_RELAY_STREAM",
                json!({"retry": "200ms", "retryJitter": 0}),
            ),
        ],
    )
    .await
}

/// A ticket that the page asks for with a token; its address, whole.
async fn ticket(page: &Dashboard, token: &str, wanted: &str) -> String {
    let relay = page.relay.url();
    let ticket = awaited(
        page,
        &format!(
            "fetch('{relay}v1/tickets', {{method: 'POST', body: JSON.stringify({wanted}), headers:
                {{'Authorization': 'Bearer {token}', 'Content-Type': 'application/json'}}}})
                .then(async (answer) => (await answer.json()).ticket)"
        ),
    )
    .await;
    let ticket = ticket.as_str().expect("a ticket");
    format!("{relay}v1/events?channel=orders.eu&ticket={ticket}")
}

async fn publish(page: &Dashboard, data: &str) {
    let event = json!({"data": data}).to_string();
    let path = "/v1/channels/orders.eu/events";
    let (status, body) = page.relay.ask("POST", path, OPERATOR, &event).await;
    assert_eq!(status, 201, "{body}");
}

/// How often the page has seen this.
async fn seen(page: &Dashboard, text: &str) -> u64 {
    let count = format!("seen.filter((one) => one === {text:?}).length");
    page.eval(&count).await.as_u64().expect("a number")
}

#[test]
fn a_page_of_another_origin_streams_with_a_ticket_through_reconnects() {
    run(async {
        let page = page(&elsewhere()).await;
        let address = ticket(&page, ANN, "{}").await;
        page.eval(&format!("watch('ann', {address:?})")).await;
        page.until(&saw("ann open")).await;
        publish(&page, "first").await;
        page.until(&saw("ann first")).await;
        // another client has read the address somewhere
        let (_, path) = address.split_once("/v1/").expect("it is of the relay");
        let path = format!("/v1/{path}");
        for round in 1..=3 {
            let (status, why) = page.relay.ask("GET", &path, "", "").await;
            assert_eq!(status, 401, "{why}");
            let (_, list) = page
                .relay
                .ask("GET", "/v1/connections?subject=ann", OPERATOR, "")
                .await;
            let list: Value = serde_json::from_str(&list).expect("JSON");
            let id = list["connections"][0]["id"]
                .as_str()
                .expect("one stream")
                .to_owned();
            let ended = page
                .relay
                .ask("DELETE", &format!("/v1/connections/{id}"), OPERATOR, "")
                .await;
            assert!(
                ended.0 == 200 && ended.1.contains("\"ended\":1"),
                "{ended:?}"
            );
            // while the page is away
            publish(&page, &format!("missed {round}")).await;
            let opens = format!("seen.filter((one) => one === 'ann open').length > {round}");
            page.until(&opens).await;
            page.until(&saw(&format!("ann missed {round}"))).await;
            publish(&page, &format!("live {round}")).await;
            page.until(&saw(&format!("ann live {round}"))).await;
        }
        for round in 1..=3 {
            for what in ["missed", "live"] {
                assert_eq!(seen(&page, &format!("ann {what} {round}")).await, 1);
            }
        }
        assert_eq!(seen(&page, "ann first").await, 1);
        assert_eq!(seen(&page, "ann error 2").await, 0);
    });
}

#[test]
fn a_ticket_that_has_ended_closes_an_event_source_for_good_and_a_new_one_goes_on() {
    run(async {
        let page = page(&elsewhere()).await;
        let soon = "{expires: new Date(Date.now() + 4000).toISOString()}";
        let address = ticket(&page, BOB, soon).await;
        page.eval(&format!("watch('bob', {address:?})")).await;
        page.until(&saw("bob open")).await;
        publish(&page, "first").await;
        page.until(&saw("bob first")).await;
        // it comes back once and is refused: 2 is CLOSED
        page.until(&saw("bob error 2")).await;
        publish(&page, "missed").await;
        let address = ticket(&page, BOB, "{}").await;
        page.eval(&format!(
            "watch('again', {:?})",
            format!("{address}&from=earliest")
        ))
        .await;
        page.until(&saw("again missed")).await;
        assert_eq!(seen(&page, "bob missed").await, 0);
    });
}
