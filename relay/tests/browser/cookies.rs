//! A page of another origin with its visitor's cookies, in a real Chromium.

use serde_json::json;

use crate::elsewhere::{awaited, elsewhere, page_with, saw};
use crate::run;

const SECRET: &str = "visitor-secret";

#[test]
fn a_page_of_another_origin_streams_with_a_cookie_where_it_is_lent_to_it() {
    run(async {
        let (named, other) = (elsewhere(), elsewhere());
        let auth = json!({
            "cookie": {"name": "sse"},
            "tokens": [{"name": "visitor", "sha256": sse_relay::auth::hash_of(SECRET),
                        "publish": ["orders.*"], "subscribe": ["orders.*"]}],
        });
        let cors = json!({"origins": [named], "credentials": true});
        for (origin, may) in [(&named, true), (&other, false)] {
            let page = page_with(origin, auth.clone(), cors.clone()).await;
            // another port of the same host is another origin, and has the same cookies
            let relay = page.relay.url().replace("127.0.0.1", "localhost");
            page.eval(&format!(
                "document.cookie = 'sse={SECRET}; path=/; SameSite=Lax'"
            ))
            .await;
            let stream = format!("{relay}v1/events?channel=orders.eu");
            page.eval(&format!(
                "watch('cookies', {stream:?}, {{withCredentials: true}})"
            ))
            .await;
            let publish = format!("{relay}v1/channels/orders.eu/events");
            let send = format!(
                "fetch({publish:?}, {{method: 'POST', body: 'hello', credentials: 'include',
                    headers: {{'Content-Type': 'text/plain'}}}}).then((answer) => answer.status)"
            );
            if may {
                page.until(&saw("cookies open")).await;
                assert_eq!(awaited(&page, &send).await, 201);
                page.until(&saw("cookies hello")).await;
            } else {
                // 2 is CLOSED: EventSource gives up
                page.until(&saw("cookies error 2")).await;
                assert_eq!(awaited(&page, &send).await, "failed");
                assert_eq!(page.eval(&saw("cookies hello")).await, false);
            }
        }
    });
}
