//! Routes that change while streams of theirs are open.

use super::example::{Example, events_until, text};
use serde_json::json;

const OLD: &str = "/dashboard/api/events?token=ann";
const NEW: &str = "/moved/events?token=ann";

#[test]
fn a_path_that_is_added_serves_newcomers_one_that_is_removed_does_not_and_open_streams_go_on() {
    let hash = sse_relay::auth::hash_of("ann");
    let ann = json!({"name": "ann", "sha256": hash, "subscribe": ["sai"]});
    let yaml = text("sai-dashboard.yaml");
    let example = Example::start(&yaml, json!({"tokens": [ann]}));
    let mut open = example.stream(OLD, &[]);
    events_until(&mut open, "event: connection");
    assert_eq!(example.open(NEW, &[]).1.status, 404);

    example.rewrite(&yaml.replace("[/dashboard/api/events]", "[/moved/events]"));

    assert_eq!(example.open(OLD, &[]).1.status, 404);
    let mut moved = example.stream(NEW, &[]);
    events_until(&mut moved, "event: connection");
    example.publish("sai", &json!({"event": "job_update", "data": {"job": 7}}));
    for stream in [&mut open, &mut moved] {
        let events = events_until(stream, "job_update");
        assert!(events.contains(r#"data: {"job":7}"#), "{events}");
    }
}
