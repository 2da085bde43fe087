//! Pages of swf-monitor: they hear one type of message by its name, and close.

use crate::{
    application::{Application, Reply},
    example::{Example, text},
    page::Page,
    run,
    support::front::Front,
};
use serde_json::json;

#[test]
fn a_page_hears_a_type_of_message_by_its_name_with_its_session() {
    run(async {
        let monitor = Application::start(Reply::Json(json!({"connected_clients": 0})));
        let yaml = text("swf-monitor.yaml").replace("interval: 30s", "interval: 1s");
        let forward = json!({"url": monitor.url(), "cache": "0s", "grant": {"subscribe": ["workflow_events"]}});
        let example = Example::start(&yaml, json!({"forward": forward}));
        let front = Front::nginx(&format!(
            "server {{
               listen {{address}};
               location /swf-monitor/api/messages/stream/ {{
                 proxy_pass http://{}; proxy_http_version 1.1; proxy_buffering off;
                 proxy_set_header Connection ''; proxy_set_header Host $http_host;
               }}
               location / {{
                 default_type text/html; add_header Set-Cookie 'sessionid=s1; Path=/';
                 return 200 '<!doctype html><title>monitor</title><body>';
               }}
             }}",
            example.relay.public
        ));
        let page = Page::open(&format!("http://{}/swf-monitor/", front.address)).await;
        page.eval(
            "(() => { window.seen = [];
                const source = new EventSource('/swf-monitor/api/messages/stream/?msg_types=prodtask_submitted,stf_gen');
                source.addEventListener('connected', (event) => seen.push('connected ' + JSON.parse(event.data).status));
                source.addEventListener('heartbeat', (event) => seen.push('heartbeat ' + typeof JSON.parse(event.data).timestamp));
                source.onmessage = () => seen.push('no message has no type');
                source.addEventListener('stf_gen', (event) => seen.push('stf_gen ' + JSON.parse(event.data).filename));
                source.addEventListener('prodtask_submitted', (event) => {
                    const data = JSON.parse(event.data);
                    if (data.task_name !== 'mine') return;
                    seen.push('mine ' + data.sender_agent + ' ' + data.jedi_task_id);
                    source.close();
                    seen.push('closed ' + source.readyState);
                });
            })()",
        )
        .await;
        page.until("seen.includes('connected connected')").await;
        page.until("seen.includes('heartbeat number')").await;
        for message in [
            json!({"msg_type": "other", "task_name": "mine"}),
            json!({"msg_type": "stf_gen", "filename": "caf\u{e9}\u{2028}\n.dat"}),
            json!({"msg_type": "prodtask_submitted", "task_name": "theirs", "jedi_task_id": 1}),
            json!({"msg_type": "prodtask_submitted", "task_name": "mine", "jedi_task_id": 2, "sender": "doer"}),
        ] {
            example.publish_data("workflow_events", &message.to_string());
        }
        page.until("seen.includes('closed 2')").await;
        let seen = page
            .eval("seen.filter((one) => !one.startsWith('heartbeat'))")
            .await;
        assert_eq!(
            seen,
            json!([
                "connected connected",
                "stf_gen caf\u{e9}\u{2028}\n.dat",
                "mine doer 2",
                "closed 2"
            ])
        );
        assert!(
            monitor.asked()[0].contains("sessionid=s1"),
            "the session is asked about"
        );
        // one without a session is refused for good
        monitor.reply(Reply::Status(403));
        page.eval(
            "(() => { const source = new EventSource('/swf-monitor/api/messages/stream/');
                source.onerror = () => seen.push('refused ' + source.readyState); })()",
        )
        .await;
        page.until("seen.includes('refused 2')").await;
    });
}
