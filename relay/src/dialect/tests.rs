use super::*;
use crate::{
    event::{Attributes, Data, Event, EventType},
    frame::Framing,
    sse_parser::{Item, Parser},
};
use facts::{EventFacts, HeartbeatFacts};
use jiff::Timestamp;
use proptest::prelude::*;
use relay_config::Config;
use std::collections::BTreeMap;

fn dialect(yaml: &str) -> Dialect {
    let yaml = format!("routes:\n  - paths: [/a]\n    channels: [a]\n    dialect: {yaml}");
    let config = Config::from_sources(Some(("test", &yaml)), &BTreeMap::new()).unwrap();
    Dialect::new(&config.routes[0], Arc::default()).unwrap()
}

fn said(dialect: &Dialect, event: &Event) -> Option<String> {
    let facts = EventFacts {
        id: Some("ID"),
        channel: "news",
        event,
        appended: "2026-11-21T07:00:20.5Z".parse().unwrap(),
    };
    let frame = dialect.event(&facts)?;
    Some(String::from_utf8(frame.bytes(Framing::Bare).to_vec()).unwrap())
}

fn text(data: &str) -> Event {
    Event::text(data)
}

#[test]
fn a_dialect_that_says_nothing_is_nearly_the_relays_own() {
    let plain = dialect("{}");
    assert_eq!(
        said(&plain, &text("a\r\nb\n")).unwrap(),
        "id: ID\nevent: message\ndata: a\ndata: b\ndata: \n\n"
    );
    assert_eq!(plain.ids, Ids::Ours);
}

#[test]
fn fields_come_in_the_order_and_with_the_line_ends_that_are_configured() {
    let one = dialect(
        "{lineEnd: crlf, lineEndFrom: '${data.sep}', event: [{comment: '${data.c}'}, {id: '${data.id}'}, {event: '${data.event}'}, {data: '${data.data}'}, {retry: '${data.retry}'}]}",
    );
    let all = r#"{"retry":3000,"data":"r","c":"c1\nc2","id":"a\nb","event":"e\r\nf"}"#;
    assert_eq!(
        said(&one, &text(all)).unwrap(),
        ": c1\r\n: c2\r\nid: ab\r\nevent: ef\r\ndata: r\r\nretry: 3000\r\n\r\n"
    );
    assert_eq!(
        said(&one, &text(r#"{"data":"x","sep":"\n"}"#)).unwrap(),
        "data: x\n\n"
    );
    assert_eq!(
        said(&one, &text(r#"{"data":null,"event":"only"}"#)).unwrap(),
        "event: only\r\n\r\n"
    );
    assert_eq!(
        said(&one, &text(r#"{"data":"","retry":true}"#)).unwrap(),
        "data: \r\n\r\n"
    );
    assert_eq!(
        said(&one, &text(r#"{"data":{"a": [1, 2.50]}}"#)).unwrap(),
        "data: {\"a\":[1,2.50]}\r\n\r\n"
    );
    for nothing in ["{}", "no json", "[1]", "5"] {
        assert_eq!(said(&one, &text(nothing)), None, "{nothing}");
    }
    assert_eq!(one.ids, Ids::None);
}

#[test]
fn json_is_wrapped_filled_and_written_in_its_style() {
    let wrapped = dialect(
        r#"{json: spacedAscii, event: [{event: "${type}"}, {json: '{"event": ${type}, "data": ${data}, "in": "${channel}!", "at": ${time:isoformat}}'}]}"#,
    );
    let event = Event {
        kind: EventType::parse("new").unwrap(),
        ..text(r#"{"n":1,"é":[true]}"#)
    };
    assert_eq!(
        said(&wrapped, &event).unwrap(),
        "event: new\ndata: {\"event\": \"new\", \"data\": {\"n\": 1, \"\\u00e9\": [true]}, \"in\": \"news!\", \"at\": \"2026-11-21T07:00:20.500000+00:00\"}\n\n"
    );
    let of_text = said(&wrapped, &text("it's \"so\"")).unwrap();
    assert!(of_text.contains(r#""data": "it's \"so\"""#), "{of_text}");
    let filled = dialect(
        r#"{json: spaced, event: [{json: "${data}", fill: [{key: a, json: "1"}, {key: b, json: "${data.x}"}, {key: c, json: "${data.nope}"}]}]}"#,
    );
    assert_eq!(
        said(&filled, &text(r#"{"a":0,"x":"y"}"#)).unwrap(),
        "data: {\"a\": 0, \"x\": \"y\", \"b\": \"y\", \"c\": null}\n\n"
    );
    assert_eq!(
        said(&filled, &text("{}")).unwrap(),
        "data: {\"a\": 1, \"b\": null, \"c\": null}\n\n"
    );
    assert_eq!(
        said(&filled, &text("[1, 2]")).unwrap(),
        "data: [1, 2]\n\n",
        "no object"
    );
}

#[test]
fn what_is_compared_is_text() {
    let yaml = "routes:\n  - paths: [/a]\n    channels: [a]\n    filters: [{parameter: run, value: \"${data.run|''}\"}, {parameter: n, value: '${data.run:text}'}]";
    let config = Config::from_sources(Some(("test", yaml)), &BTreeMap::new()).unwrap();
    let dialect = Dialect::new(&config.routes[0], Arc::default()).unwrap();
    let terms = |data: &str| -> Vec<Option<String>> {
        let event = text(data);
        let facts = EventFacts {
            id: None,
            channel: "c",
            event: &event,
            appended: Timestamp::UNIX_EPOCH,
        };
        dialect
            .terms(&facts)
            .iter()
            .map(|term| term.as_deref().map(str::to_owned))
            .collect()
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(terms(r#"{"run":"5"}"#), [some("5"), some("5")]);
    assert_eq!(
        terms(r#"{"run":5}"#),
        [None, some("5")],
        "a number is no text"
    );
    assert_eq!(terms("{}"), [some(""), None]);
}

#[test]
fn a_heartbeat_knows_how_many_there_are() {
    let one = dialect(
        r#"{heartbeat: {frame: [{event: heartbeat}, {json: '{"timestamp": ${now:unix}, "clients": ${clients}}'}]}}"#,
    );
    let facts = HeartbeatFacts {
        id: None,
        now: "1970-01-01T00:00:01.25Z".parse().unwrap(),
        wanted: &crate::filter::Filter::default(),
        clients: 7,
    };
    let frame = one.heartbeat(&facts).unwrap();
    assert_eq!(
        frame.bytes(Framing::Bare),
        b"event: heartbeat\ndata: {\"timestamp\": 1.25, \"clients\": 7}\n\n"
    );
}

#[test]
fn data_that_look_like_a_template_are_data_and_what_is_missing_is_left_out() {
    let one = dialect("{event: [{event: '${data.a|data.b}'}, {data: '${data.c}'}]}");
    assert_eq!(
        said(
            &one,
            &text(r#"{"a": "${data.a}", "c": "${data}${data.c}$$"}"#)
        )
        .unwrap(),
        "event: ${data.a}\ndata: ${data}${data.c}$$\n\n",
        "filled in once, and never again"
    );
    assert_eq!(said(&one, &text(r#"{"c": "x"}"#)).unwrap(), "data: x\n\n");
    assert_eq!(said(&one, &text("{}")), None);
}

#[test]
fn what_would_be_too_large_is_not_written() {
    let many = "${data}".repeat(64);
    let large = dialect(&format!("{{event: [{{data: '{many}'}}]}}"));
    assert_eq!(said(&large, &text(&"x".repeat(MAX_BLOCK / 64 + 1))), None);
    assert!(said(&large, &text("x")).is_some());
}

#[test]
fn json_may_nest_as_deep_as_it_likes() {
    let template = Template::parse("{\"d\": ${data}}", Language::Json, Scope::Event).unwrap();
    let open = "[".repeat(200_000);
    let (closed, quoted) = (
        format!("{open}{}", "]".repeat(200_000)),
        format!("\"{open}\""),
    );
    for (data, wanted) in [(&closed, &closed), (&open, &quoted)] {
        let event = text(data);
        let written = json_text(&template, JsonStyle::Compact, &of(&event)).unwrap();
        assert!(written == format!("{{\"d\": {wanted}}}"));
    }
}

/// What is known of an event.
fn of(event: &Event) -> EventFacts<'_> {
    EventFacts {
        id: Some("ID"),
        channel: "news",
        event,
        appended: Timestamp::UNIX_EPOCH,
    }
}

/// A place for a value, as somebody might write it.
fn value() -> impl Strategy<Value = String> {
    let names = "data|data:text|data\\.a|data\\.a\\.b|data\\.b:text|type|id|channel|time|time:unix|time:isoformat|time:millis|retry|attributes\\.x";
    let choice = format!("({names}|'[a-z ]{{0,3}}'|null|\\[1\\])");
    proptest::string::string_regex(&format!("\\$\\{{{choice}(\\|{choice}){{0,3}}\\}}")).unwrap()
}

/// What a publisher may send as data.
fn data() -> impl Strategy<Value = String> {
    let text = "(?s).{0,30}|[\\r\\n\"\\\\{}\\[\\]:,a-z0-9${|']{0,30}";
    let member = (text, any::<f64>(), text).prop_map(|(a, n, b)| {
        serde_json::json!({"a": {"b": a, "n": n}, "b": [b, n, null], "c": true}).to_string()
    });
    let number = "-?[0-9]{1,40}(\\.[0-9]{1,40})?([eE]-?[0-9]{1,4})?";
    prop_oneof![
        text,
        member.clone(),
        number,
        (member, 0..60_usize).prop_map(|(json, cut)| json.chars().take(cut).collect())
    ]
}

fn any_event() -> impl Strategy<Value = Event> {
    let kind = proptest::option::of("[^\\p{Cc}]{1,20}");
    (proptest::option::of(data()), kind, any::<Option<u32>>()).prop_map(|(data, kind, retry)| {
        Event {
            kind: kind
                .and_then(|kind| EventType::parse(&kind).ok())
                .unwrap_or_default(),
            data: data.map(|data| Data::text(&data)),
            retry,
            ..Event::default()
        }
    })
}

proptest! {
    /// Whatever the template and the values are, there is one text, of a bounded length, or none.
    #[test]
    fn a_template_is_total_and_bounded(
        parts in proptest::collection::vec(prop_oneof![value(), "[^$]{0,8}"], 0..6),
        event in any_event(),
        max in 0..300_usize,
    ) {
        let template = Template::parse(&parts.concat(), Language::Text, Scope::Event);
        let template = template.unwrap_or_else(|fault| panic!("{parts:?}: {fault}"));
        let written = fill(&template, &of(&event), max);
        prop_assert!(written.as_ref().is_none_or(|text| text.len() <= max), "{:?}", written);
        prop_assert_eq!(written, fill(&template, &of(&event), max));
    }

    /// A template of JSON is JSON of one line in every style, and where something is missing it is null.
    #[test]
    fn a_template_of_json_is_json_with_any_values(values in [value(), value(), value()], event in any_event()) {
        let [a, b, c] = values;
        let json = format!("{{\"a\": {a}, \"b\": \"x{b}y\", \"c\": [{c}, 1]}}");
        let template = Template::parse(&json, Language::Json, Scope::Event);
        let template = template.unwrap_or_else(|fault| panic!("{json}: {fault}"));
        let mut read = Vec::new();
        for style in [JsonStyle::Compact, JsonStyle::CompactAscii, JsonStyle::Spaced, JsonStyle::SpacedAscii] {
            let written = json_text(&template, style, &of(&event)).expect("it is far from too large");
            prop_assert!(!written.contains(['\n', '\r']), "{:?}", written);
            // numbers as they were written: a float cannot hold all of them
            let value: Box<serde_json::value::RawValue> = serde_json::from_str(&written)
                .map_err(|error| TestCaseError::fail(format!("{error}: {written}")))?;
            read.push(value.get().len());
        }
        prop_assert!(read[0] <= read[1] && read[0] <= read[2]);
    }

    /// No value makes a field, or another event: whatever is published, a client gets one event with
    /// the fields of the dialect.
    #[test]
    fn values_stay_in_their_fields(
        data in "(?s).{0,40}|[\\r\\n:\"{}a-z\\\\]{0,40}",
        kind in "[^\\p{Cc}]{1,20}",
        key in "(?s).{0,20}",
        crlf: bool,
    ) {
        let end = if crlf { "crlf" } else { "lf" };
        let one = dialect(&format!("{{lineEnd: {end}, event: [{{id: '${{data.id|attributes.a|id}}'}}, {{event: '${{data.event|type}}'}}, {{data: '${{data}}'}}, {{json: '[${{data}}, \"${{data}}\"]'}}]}}"));
        let member = serde_json::json!({"event": key, "id": key}).to_string();
        for data in [data.as_str(), member.as_str()] {
            let event = Event {
                kind: EventType::parse(&kind).unwrap_or_default(),
                data: Some(Data::text(data)),
                attributes: Attributes::default(),
                ..Event::default()
            };
            let frame = said(&one, &event).unwrap();
            let mut items = Vec::new();
            Parser::new().push(frame.as_bytes(), &mut items).unwrap();
            prop_assert_eq!(items.len(), 1, "{:?}", frame);
            let Item::Event { data: got, .. } = &items[0] else { panic!("{frame:?}") };
            let normal = data.replace("\r\n", "\n").replace('\r', "\n");
            prop_assert!(got.starts_with(&format!("{normal}\n")), "{:?}", got);
            let json: serde_json::Value = serde_json::from_str(&got[normal.len() + 1..]).unwrap();
            prop_assert_eq!(json[1].as_str().unwrap(), normal);
        }
    }
}
