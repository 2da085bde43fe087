//! The API's description is what the relay does, and all of it.

mod support;

use serde_json::{Value, json};
use sse_relay::http::problem::Kind;
use std::collections::{BTreeMap, BTreeSet};
use support::{Answer, Relay};

fn description() -> Value {
    serde_json::from_str(include_str!("../src/http/openapi.json")).expect("JSON")
}

/// Every operation: its path, its method in lower case, and itself.
fn operations(api: &Value) -> Vec<(String, String, Value)> {
    let paths = api["paths"].as_object().expect("paths");
    let operations = paths.iter().flat_map(|(path, item)| {
        let methods = item.as_object().expect("operations").iter();
        methods
            .filter(|(method, _)| *method != "parameters")
            .map(|(method, operation)| (path.clone(), method.clone(), operation.clone()))
    });
    operations.collect()
}

/// Why a value is not what a schema of the description says.
fn errors(api: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let whole = json!({"components": api["components"], "allOf": [schema]});
    let validator = jsonschema::validator_for(&whole).expect("a legal schema");
    let errors = validator.iter_errors(value);
    errors
        .map(|error| format!("{} at {}", error, error.instance_path()))
        .collect()
}

/// Fails unless the operation's description has this answer.
fn assert_described(api: &Value, operation: &Value, answer: &Answer) {
    let id = &operation["operationId"];
    let described = &operation["responses"][answer.status.to_string()];
    assert!(described.is_object(), "{id}: undescribed {answer:?}");
    let Some(content) = described.get("content") else {
        assert_eq!(answer.body, "", "{id}: {answer:?}");
        return;
    };
    let media_type = answer.header("content-type").unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default();
    let schema = &content[media_type]["schema"];
    assert!(schema.is_object(), "{id}: undescribed {answer:?}");
    if media_type.ends_with("json") {
        let errors = errors(api, schema, &answer.json());
        assert!(errors.is_empty(), "{id}: {answer:?}: {errors:#?}");
    }
}

fn target(path: &str) -> String {
    path.replace("{channel}", "c")
        .replace("{connection}", "x-1")
        .replace("{revocation}", "x")
        .replace("{subject}", "ann")
}

#[test]
fn every_path_and_method_is_described_and_nothing_else() {
    let (api, relay) = (description(), Relay::start(&[]));
    let mut described: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (path, method, _) in operations(&api) {
        let methods = described.entry(path).or_default();
        methods.insert(method.to_uppercase());
        if method == "get" {
            methods.insert("HEAD".into());
        }
        methods.insert("OPTIONS".into());
    }
    let served: BTreeSet<&str> = sse_relay::http::paths().into_iter().collect();
    assert_eq!(
        described
            .keys()
            .map(String::as_str)
            .collect::<BTreeSet<_>>(),
        served
    );
    for (path, methods) in &described {
        for method in ["OPTIONS", "PATCH"] {
            let answer = relay.request(method, &target(path), &[], b"");
            assert_eq!(
                answer.status,
                if method == "OPTIONS" { 204 } else { 405 },
                "{path}"
            );
            let allowed = answer.header("allow").unwrap_or_default().split(',');
            assert_eq!(
                allowed.map(str::to_owned).collect::<BTreeSet<_>>(),
                *methods,
                "{path}"
            );
        }
    }
}

#[test]
fn every_problem_is_described_with_its_status() {
    let api = description();
    let kind = &api["components"]["schemas"]["ProblemType"];
    let described: BTreeSet<&str> = kind["enum"]
        .as_array()
        .unwrap()
        .iter()
        .map(|slug| slug.as_str().unwrap())
        .collect();
    let slugs = Kind::ALL.iter().map(|kind| kind.slug());
    let types: Vec<String> = slugs
        .map(|slug| format!("urn:sse-relay:problem:{slug}"))
        .collect();
    assert_eq!(described, types.iter().map(String::as_str).collect());
    let text = kind["description"].as_str().unwrap();
    for kind in Kind::ALL {
        let line = format!("* `{}` ({})", kind.slug(), kind.status().as_u16());
        assert!(text.contains(&line), "{line}");
    }
}

/// Operation, method, target, headers, body, and the status of the answer.
type Call = (
    &'static str,
    &'static str,
    &'static str,
    &'static [&'static str],
    &'static str,
    u16,
);

const CALLS: [Call; 62] = {
    const P: &str = "/v1/channels/c/events";
    const JSON: &[&str] = &["Content-Type: application/json"];
    const LINES: &[&str] = &["Content-Type: application/x-ndjson"];
    const KEYED: &[&str] = &["Idempotency-Key: k"];
    const S: &str = "/v1/subjects/ann/events";
    const FORM: &[&str] = &["Content-Type: application/x-www-form-urlencoded"];
    [
        ("dashboard", "GET", "/", &[], "", 200),
        ("health", "GET", "/health", &[], "", 200),
        ("openapi", "GET", "/v1/openapi.json", &[], "", 200),
        (
            "publish",
            "POST",
            P,
            JSON,
            r#"{"event":"t","data":1,"attributes":{"k":"v"},"retry":5,"time":"2026-11-21T08:00:00Z"}"#,
            201,
        ),
        (
            "publish",
            "POST",
            P,
            &[
                "Sse-Event: t",
                "Sse-Attribute: k=v",
                "Sse-Retry: 5",
                "Sse-Time: 2026-11-21T08:00:00Z",
                "Sse-End: false",
            ],
            "x",
            201,
        ),
        (
            "publish",
            "POST",
            P,
            &[
                "ce-specversion: 1.0",
                "ce-id: 1",
                "ce-source: s",
                "ce-type: t",
            ],
            "x",
            201,
        ),
        (
            "publish",
            "POST",
            P,
            LINES,
            "{\"data\":1}\n{\"data\":2}\n",
            201,
        ),
        ("publish", "POST", P, LINES, "{\"data\":1}\n{}\n", 207),
        ("publish", "POST", P, LINES, "{}\n{\n", 400),
        ("publish", "POST", P, LINES, "\n", 400),
        ("publish", "POST", P, JSON, "{}", 400),
        ("publish", "POST", P, JSON, "{", 400),
        ("publish", "POST", P, KEYED, "x", 201),
        ("publish", "POST", P, KEYED, "x", 200),
        ("publish", "POST", P, KEYED, "y", 422),
        (
            "publish",
            "POST",
            P,
            &["Content-Type: application/x-www-form-urlencoded"],
            "a=b",
            415,
        ),
        (
            "publish",
            "POST",
            "/v1/channels/ended/events",
            JSON,
            r#"{"end":true}"#,
            201,
        ),
        (
            "publish",
            "POST",
            "/v1/channels/ended/events",
            JSON,
            r#"{"data":1}"#,
            409,
        ),
        (
            "subscribe",
            "GET",
            "/v1/events?channel=ended&from=latest",
            &[],
            "",
            204,
        ),
        (
            "publish",
            "POST",
            "/v1/channels/closed/events",
            JSON,
            r#"{"data":1}"#,
            403,
        ),
        (
            "publish",
            "POST",
            "/v1/channels/@x/events",
            JSON,
            r#"{"data":1}"#,
            400,
        ),
        ("subscribe", "GET", "/v1/events", &[], "", 400),
        ("subscribe", "GET", "/v1/events?channel=@x", &[], "", 400),
        ("status", "GET", "/v1/status", &[], "", 200),
        ("listChannels", "GET", "/v1/channels?limit=1", &[], "", 200),
        ("listChannels", "GET", "/v1/channels?limit=0", &[], "", 400),
        (
            "getChannel",
            "GET",
            "/v1/channels/c?wait=empty",
            &[],
            "",
            200,
        ),
        ("getChannel", "GET", "/v1/channels/nothing", &[], "", 200),
        ("getChannel", "GET", "/v1/channels/%FF", &[], "", 400),
        (
            "history",
            "GET",
            "/v1/channels/c/events?limit=3",
            &[],
            "",
            200,
        ),
        (
            "history",
            "GET",
            "/v1/channels/ended/events?after=0-----123456789",
            &[],
            "",
            200,
        ),
        (
            "history",
            "GET",
            "/v1/channels/c/events?after=x",
            &[],
            "",
            400,
        ),
        (
            "listConnections",
            "GET",
            "/v1/connections?channel=d",
            &[],
            "",
            200,
        ),
        ("listClients", "GET", "/v1/clients", &[], "", 200),
        (
            "endConnections",
            "DELETE",
            "/v1/connections?subject=ann",
            &[],
            "",
            200,
        ),
        ("endConnections", "DELETE", "/v1/connections", &[], "", 400),
        (
            "endConnection",
            "DELETE",
            "/v1/connections/x-1",
            &[],
            "",
            200,
        ),
        (
            "purgeChannel",
            "DELETE",
            "/v1/channels/purged",
            &[],
            "",
            200,
        ),
        ("purgeChannel", "DELETE", "/v1/channels/@a", &[], "", 400),
        (
            "revoke",
            "POST",
            "/v1/revocations",
            JSON,
            r#"{"subject":"ann"}"#,
            200,
        ),
        ("revoke", "POST", "/v1/revocations", JSON, "{}", 400),
        ("revoke", "POST", "/v1/revocations", &[], "{}", 415),
        ("listRevocations", "GET", "/v1/revocations", &[], "", 200),
        ("restore", "DELETE", "/v1/revocations/x", &[], "", 204),
        ("mintTicket", "POST", "/v1/tickets", JSON, "{}", 201),
        ("mintTicket", "POST", "/v1/tickets", JSON, "[]", 400),
        ("mintTicket", "POST", "/v1/tickets", &[], "{}", 415),
        (
            "extend",
            "POST",
            "/v1/connections/x/credential?y=1",
            &[],
            "",
            400,
        ),
        (
            "extend",
            "POST",
            "/v1/connections/x/credential",
            &[],
            "",
            404,
        ),
        ("direct", "POST", "/v1/connections/x/events", &[], "x", 200),
        ("direct", "POST", "/v1/connections/x/events", JSON, "{", 400),
        (
            "direct",
            "POST",
            "/v1/connections/x/events",
            LINES,
            "{}",
            415,
        ),
        ("publishToSubject", "POST", S, JSON, "{\"data\":1}", 201),
        ("publishToSubject", "POST", S, JSON, "{\"end\":true}", 400),
        ("publishToSubject", "POST", S, JSON, "{", 400),
        (
            "publishToSubject",
            "POST",
            S,
            LINES,
            "{}\n{\"data\":1}",
            207,
        ),
        ("publishToSubject", "POST", S, LINES, "{}\n{", 400),
        ("publishToSubject", "POST", S, FORM, "a=b", 415),
        ("publishToSubject", "POST", S, KEYED, "x", 201),
        ("publishToSubject", "POST", S, KEYED, "x", 200),
        ("publishToSubject", "POST", S, KEYED, "y", 422),
        (
            "publishToSubject",
            "POST",
            "/v1/subjects/%0A/events",
            &[],
            "x",
            400,
        ),
    ]
};

#[test]
fn every_answer_is_as_described() {
    let rule = r#"[{"match":"closed","publish":"deny","subscribe":"deny"}]"#;
    let relay = Relay::start_with(&[("SSE_RELAY_CHANNELS", rule)], &[]);
    let _stream = relay.subscribe("channel=d&channel=d.*&client=me&filter.k=v,w");
    let api = description();
    let operations = operations(&api);
    let mut seen: BTreeSet<(String, u16)> = BTreeSet::new();
    let mut check = |operation: &Value, answer: &Answer| {
        assert_described(&api, operation, answer);
        let id = operation["operationId"].as_str().unwrap();
        seen.insert((id.to_owned(), answer.status));
    };
    for (id, method, target, headers, body, status) in CALLS {
        let named = operations
            .iter()
            .find(|(_, _, operation)| operation["operationId"] == id);
        let answer = relay.request(method, target, headers, body.as_bytes());
        assert_eq!(answer.status, status, "{id} {target} {body}: {answer:?}");
        check(&named.unwrap().2, &answer);
    }
    let open = relay.get("/v1/connections?client=me").json();
    let id = open["connections"][0]["id"].as_str().unwrap();
    let target_of_stream = format!("/v1/connections/{id}/credential");
    let extend = operations
        .iter()
        .find(|(_, _, operation)| operation["operationId"] == "extend");
    let extended = relay.request("POST", &target_of_stream, &[], b"");
    check(&extend.unwrap().2, &extended);
    let elsewhere = sse_relay::auth::hash_of("elsewhere");
    let auth = format!(
        r#"{{"tokens":[{{"name":"t","sha256":"{elsewhere}","subscribe":["elsewhere"]}}]}}"#
    );
    let guarded = Relay::start_with(&[("SSE_RELAY_AUTH", &auth)], &[]);
    for (path, method, operation) in &operations {
        if operation.get("security").is_some() {
            let (method, mut target) = (method.to_uppercase(), target(path));
            if path == "/v1/events" {
                target.push_str("?channel=c");
            }
            let nobody = guarded.request(&method, &target, &[], b"x");
            assert_eq!(nobody.status, 401, "{method} {target}");
            check(operation, &nobody);
            let token = "Authorization: Bearer elsewhere";
            let another = guarded.request(&method, &target, &[token], b"x");
            // any credential may ask for its own stream's extension, or for a ticket of its own
            let own = ["extend", "mintTicket"];
            if !own.iter().any(|id| operation["operationId"] == *id) {
                assert_eq!(another.status, 403, "{method} {target}");
            }
            check(operation, &another);
        }
    }
    for (path, method, operation) in &operations {
        check(operation, &relay.raw("GET / HTTP/9\r\n\r\n"));
        let (method, target) = (method.to_uppercase(), target(path));
        check(
            operation,
            &relay.raw(format!(
                "{method} {target} HTTP/1.1\r\nConnection: close\r\n\r\n"
            )),
        );
        check(operation, &relay.request("PATCH", &target, &[], b""));
        let long = format!("X: {}", "x".repeat(20_000));
        check(operation, &relay.request(&method, &target, &[&long], b""));
        if path != "/health" {
            check(
                operation,
                &relay.request(&method, &target, &["Origin: http://evil.example"], b""),
            );
        }
        if operation["requestBody"].is_object() {
            check(
                operation,
                &relay.request("POST", &target, &[], &vec![b'x'; 2 << 20]),
            );
        }
        if operation["operationId"] == "subscribe" {
            let mut stream = relay.connect();
            stream.send(support::request("GET", "/v1/events?channel=c", &[], b""));
            check(operation, &stream.head());
        }
    }
    for (_, _, operation) in &operations {
        let id = operation["operationId"].as_str().unwrap();
        for status in operation["responses"].as_object().unwrap().keys() {
            // what only a failing log, another replica, a drain, an overload or a configuration brings
            let rare = ["202", "429", "503", "505"].contains(&status.as_str());
            assert!(
                rare || seen.contains(&(id.to_owned(), status.parse().unwrap())),
                "{id} was never answered {status}"
            );
        }
    }
}

#[test]
fn the_parameters_are_those_that_are_accepted() {
    let (api, relay) = (description(), Relay::start(&[]));
    for (path, method, operation) in operations(&api) {
        // a page and a probe that take no parameters do not mind any either
        if ["/", "/health"].contains(&path.as_str()) {
            continue;
        }
        let none = Vec::new();
        let parameters = operation["parameters"].as_array().unwrap_or(&none).iter();
        let described: BTreeSet<&str> = parameters
            .filter(|parameter| parameter["in"] == "query")
            .map(|parameter| parameter["name"].as_str().unwrap())
            .collect();
        let answer = relay.request(
            &method.to_uppercase(),
            &format!("{}?%E2%98%83=1", target(&path)),
            &[],
            b"",
        );
        assert_eq!(answer.problem(), "invalid-query", "{path}");
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        let known = detail
            .split_once("known are ")
            .map_or("", |(_, known)| known);
        let known = known.split(", ").filter(|name| !name.is_empty());
        assert_eq!(described, known.collect(), "{path}: {detail}");
    }
}

#[test]
fn the_schema_of_an_event_and_the_relay_judge_alike() {
    let (api, relay) = (description(), Relay::start(&[]));
    let schema = json!({"$ref": "#/components/schemas/Event"});
    for event in [
        json!({"data": null}),
        json!({"data": {"a": [1]}, "event": null, "retry": null, "time": null}),
        json!({"data": 1, "event": ""}),
        json!({}),
        json!({"end": false}),
        json!({"data": 1, "event": "gap"}),
        json!({"data": 1, "event": "a\nb"}),
        json!({"data": 1, "event": "x".repeat(201)}),
        json!({"data": 1, "attributes": null}),
        json!({"data": 1, "attributes": {"a b": "x"}}),
        json!({"data": 1, "attributes": {"a": 1}}),
        json!({"data": 1, "attributes": {"a": "\u{0}"}}),
        json!({"data": 1, "attributes": {"a": "x".repeat(1025)}}),
        json!({"data": 1, "retry": -1}),
        json!({"data": 1, "retry": 4_294_967_296_u64}),
        json!({"data": 1, "end": "true"}),
        json!({"data": 1, "more": 1}),
        json!([1]),
    ] {
        let legal = errors(&api, &schema, &event).is_empty();
        let body = event.to_string();
        let answer = relay.request(
            "POST",
            "/v1/channels/c/events",
            &["Content-Type: application/json"],
            body.as_bytes(),
        );
        assert_eq!(
            answer.status,
            if legal { 201 } else { 400 },
            "{body}: {answer:?}"
        );
    }
}

#[test]
fn examples_are_legal_and_objects_closed() {
    let (api, relay) = (description(), Relay::start(&[]));
    for (name, schema) in api["components"]["schemas"].as_object().unwrap() {
        let reference = json!({"$ref": format!("#/components/schemas/{name}")});
        for example in schema["examples"].as_array().unwrap_or(&Vec::new()) {
            assert_eq!(errors(&api, &reference, example), [""; 0], "{name}");
        }
        if schema["properties"].is_object() && name != "CloudEvent" {
            assert_eq!(schema["additionalProperties"], false, "{name}");
        }
    }
    let content = &api["paths"]["/v1/channels/{channel}/events"]["post"]["requestBody"]["content"];
    for (media_type, body) in content.as_object().unwrap() {
        let name = body["schema"]["$ref"]
            .as_str()
            .and_then(|name| name.rsplit('/').next());
        let item = body["schema"]["items"]["$ref"]
            .as_str()
            .and_then(|name| name.rsplit('/').next());
        let example = |name: &str| api["components"]["schemas"][name]["examples"][0].clone();
        let text = match (name, item) {
            (Some(name), _) => example(name).to_string(),
            (None, Some(item)) => json!([example(item)]).to_string(),
            (None, None) => body["example"].as_str().unwrap().to_owned(),
        };
        let header = format!("Content-Type: {media_type}");
        let answer = relay.request("POST", "/v1/channels/c/events", &[&header], text.as_bytes());
        assert_eq!(answer.status, 201, "{media_type}: {answer:?}");
    }
}
