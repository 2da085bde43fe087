//! The page of SAI Dashboard, another site's than the stream's, through nginx with `examples/proxies/nginx.conf`.

use crate::{
    application::{Application, Reply},
    example::{Example, text},
    page::Page,
    proxy::Proxy,
    run,
    support::front::Front,
};
use serde_json::json;

/// Where the file says that the page is from.
const ORIGIN: &str = "https://dashboard.example.com";

fn page_server() -> Front {
    Front::nginx(
        "server { listen {address}; default_type text/html;
           location / { return 200 '<!doctype html><title>dashboard</title><body>'; } }",
    )
}

#[test]
fn its_page_follows_the_stream_through_nginx_and_comes_back_where_it_was() {
    run(async {
        let site = page_server();
        let origin = format!("http://{}", site.address);
        let yaml = text("sai-dashboard.yaml")
            .replace("interval: 30s", "interval: 1s")
            .replace("lifetime: 5m", "lifetime: 3s");
        let yaml = yaml + "\nproxies: {trusted: [127.0.0.1]}\n";
        // the token is the relay's own: the parameter that carries it is what counts here
        let token = json!({"name": "page", "sha256": sse_relay::auth::hash_of("page-token"), "subscribe": ["sai"]});
        let example = Example::start(&yaml, json!({"tokens": [token]}));
        let application = Application::start(Reply::Json(json!({})));
        let front =
            Proxy::Nginx.start_for(ORIGIN, &origin, example.relay.public, application.address());
        let page = Page::open(&origin).await;
        let stream = format!(
            "http://{}/dashboard/api/events?token=page-token",
            front.address
        );
        page.eval(&format!(
            "(() => {{ window.seen = []; window.clients = new Set();
                window.source = new EventSource({stream:?}, {{withCredentials: true}});
                source.onopen = () => seen.push('open');
                source.onmessage = (event) => seen.push('empty ' + (event.data === ''));
                source.onerror = () => seen.push('error ' + source.readyState);
                source.addEventListener('connection', (event) => {{
                    const data = JSON.parse(event.data);
                    if (data.message === 'Connected to SAI Dashboard real-time updates') clients.add(data.clientId);
                }});
                source.addEventListener('heartbeat', (event) => window.shown = JSON.parse(event.data).clients);
                source.addEventListener('execution:new', (event) => seen.push('execution ' + event.data));
            }})()"
        ))
        .await;
        page.until("seen.includes('open') && clients.size >= 1")
            .await;
        page.until("seen.includes('empty true')").await;
        page.until("window.shown === 1").await;
        // over several lives of the stream, all of which end after 3 s at the latest
        let mut published = 0;
        while page.eval("clients.size").await.as_u64().unwrap() < 4 || published < 30 {
            assert!(published < 2000, "it does not come back");
            let event = json!({"event": "execution:new", "data": published.to_string()});
            example.publish("sai", &event);
            published += 1;
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        page.until(&format!("seen.includes('execution {}')", published - 1))
            .await;
        let executions = page
            .eval("seen.filter((one) => one.startsWith('execution ')).map((one) => Number(one.slice(10)))")
            .await;
        let wanted: Vec<u64> = (0..published).collect();
        assert_eq!(
            executions,
            json!(wanted),
            "each once, in order, whenever it was away"
        );
        assert_eq!(page.eval("seen.includes('error 2')").await, false);
        // another site may not read it
        let other = page_server();
        page.goto(&format!("http://{}/", other.address)).await;
        page.eval(&format!(
            "(() => {{ window.seen = []; const source = new EventSource({stream:?}, {{withCredentials: true}});
                source.onerror = () => seen.push('error ' + source.readyState); source.onopen = () => seen.push('open'); }})()"
        ))
        .await;
        page.until("seen.includes('error 2')").await;
        assert_eq!(page.eval("seen.includes('open')").await, false);
    });
}
