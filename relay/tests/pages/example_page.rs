//! The page of `examples/web/` as app-qg-api's front is: at its own origin, whose proxy adds the token.

use crate::{
    example::{Example, text},
    page::Page,
    run,
    support::front::Front,
};
use serde_json::json;
use std::{path::Path, process::Command};

/// The built page. Without Node.js the script says so by name.
fn built() -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/install-web-example.sh");
    let output = Command::new("sh").arg(script).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// app-qg-api's stream behind its front.
struct Site {
    example: Example,
    front: Front,
}

fn start() -> Site {
    let yaml = text("app-qg-api.yaml").replace("interval: 5s", "interval: 1s");
    let token = json!({"name": "front", "sha256": sse_relay::auth::hash_of("front-token"), "subscribe": ["qg"]});
    let operator = json!({"name": "operator", "sha256": sse_relay::auth::hash_of("operator"), "manage": ["disconnect"]});
    let example = Example::start(&yaml, json!({"tokens": [token, operator]}));
    let front = Front::nginx(&format!(
        "types {{ text/html html; text/css css; text/javascript js; }}
         server {{
           listen {{address}};
           location /api/live {{
             proxy_pass http://{}/qg/live; proxy_http_version 1.1; proxy_buffering off;
             proxy_set_header Connection ''; proxy_set_header Authorization 'Bearer front-token';
           }}
           location / {{ root {}; }}
         }}",
        example.relay.public,
        built()
    ));
    Site { example, front }
}

impl Site {
    async fn open(&self, query: &str) -> Page {
        Page::open(&format!("http://{}/index.html?{query}", self.front.address)).await
    }

    fn incident(&self, n: u32) {
        let incident = json!({"incident": {"id": n}, "declared_by": "<b>nobody</b>"});
        self.example
            .publish("qg", &json!({"event": "new_incident", "data": incident}));
    }
}

const EVENTS: &str = "stream=/api/live%3Fevents%3Dnew_incident&events=connected,new_incident";

/// How many events of a type both panels list.
fn listed(count: usize, kind: &str) -> String {
    format!(
        "['plain', 'react'].every((id) => document.querySelectorAll(`#${{id}} li[data-type={kind}]`).length === {count})"
    )
}

#[test]
fn the_hook_and_the_plain_client_hear_the_same_and_come_back_where_they_were() {
    run(async {
        let site = start();
        let page = site.open(EVENTS).await;
        page.until(&listed(1, "connected")).await;
        page.until("document.querySelectorAll('.state[data-state=open]').length === 2")
            .await;
        site.incident(1);
        let vehicle = json!({"event": "vehicle_status_update", "data": {"vehicle_id": 5}});
        site.example.publish("qg", &vehicle);
        page.until(&listed(1, "new_incident")).await;
        let told = page
            .eval("JSON.parse(document.querySelector('#react li[data-type=new_incident] code').textContent)")
            .await;
        assert_eq!(told["event"], "new_incident");
        assert_eq!(told["data"]["incident"]["id"], 1);
        assert_eq!(
            page.eval("document.querySelectorAll('main b').length")
                .await,
            0,
            "what comes in a stream is text"
        );
        // both streams end, and come back by themselves with what came meanwhile
        let operator = ["Authorization: Bearer operator"];
        let ended =
            site.example
                .relay
                .request("DELETE", "/v1/connections?channel=qg", &operator, b"");
        assert_eq!(ended.status, 200, "{ended:?}");
        site.incident(2);
        page.until(&listed(2, "new_incident")).await;
        page.until(&listed(2, "connected")).await;
        assert_eq!(page.complaints().await, Vec::<String>::new());
    });
}

#[test]
fn a_stream_that_is_refused_is_asked_for_again() {
    run(async {
        let site = start();
        let page = site.open("stream=/api/nowhere&events=x").await;
        // nginx has no such file: 404, after which EventSource gives up and the example does not
        page.until("document.querySelectorAll('.state[data-state=waiting]').length === 2")
            .await;
        page.until(
            "performance.getEntriesByName(new URL('/api/nowhere', location).href).length >= 4",
        )
        .await;
    });
}

#[test]
fn the_page_fits_a_phone_and_a_desk_in_light_and_dark() {
    run(async {
        let site = start();
        let page = site.open(EVENTS).await;
        page.until(&listed(1, "connected")).await;
        for n in 0..5 {
            site.incident(n);
        }
        page.until(&listed(5, "new_incident")).await;
        let mut grounds = Vec::new();
        for (width, height, scheme) in [
            (1280, 900, "light"),
            (1280, 900, "dark"),
            (360, 780, "light"),
            (360, 780, "dark"),
        ] {
            page.show(width, height, scheme).await;
            let wide = format!("document.documentElement.clientWidth === {width}");
            page.until(&wide).await;
            let overflow =
                "document.documentElement.scrollWidth - document.documentElement.clientWidth";
            assert_eq!(page.eval(overflow).await, 0, "{width} {scheme}");
            let columns = "getComputedStyle(document.querySelector('main')).gridTemplateColumns.split(' ').length";
            let wanted = if width > 700 { 2 } else { 1 };
            assert_eq!(page.eval(columns).await, wanted, "{width}");
            grounds.push(
                page.eval("getComputedStyle(document.body).backgroundColor")
                    .await,
            );
            page.picture(&format!("web-{width}-{scheme}")).await;
        }
        assert_ne!(grounds[0], grounds[1], "dark is another colour");
    });
}
