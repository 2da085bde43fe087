//! What cannot work is refused, field by field, and all of it at once.

use std::collections::BTreeMap;

use relay_config::{Config, LoadError, Problem};

fn problems(yaml: &str) -> Vec<Problem> {
    match Config::from_sources(Some(("x", yaml)), &BTreeMap::new()) {
        Ok(_) => Vec::new(),
        Err(LoadError::Invalid(located)) => located.into_iter().map(|l| l.problem).collect(),
        Err(other) => panic!("{yaml:?}: {other}"),
    }
}

#[test]
fn each_rule_names_its_field() {
    let long = format!("environment: {}", "x".repeat(101));
    let long_prefix = format!("demo: {{prefix: {}}}", "x".repeat(101));
    let long_match = format!("channels: [{{match: {}, publish: deny}}]", "x".repeat(201));
    let hash = "ab".repeat(32);
    let token = format!("name: a, sha256: {hash}, subscribe: [b]");
    let no_right = format!("auth: {{tokens: [{{name: a, sha256: {hash}}}]}}");
    let bad_expiry = format!("auth: {{tokens: [{{{token}, expires: soon}}]}}");
    let twice = format!("auth: {{tokens: [{{{token}}}, {{{token}}}]}}");
    let cases = [
        ("adminListen: 127.0.0.1:8080", "adminListen"),
        ("environment: \"\"", "environment"),
        (r#"environment: "a\nb""#, "environment"),
        (&long, "environment"),
        ("logging: {level: \" \"}", "logging.level"),
        ("logging: {level: inof}", "logging.level"),
        (r#"logging: {level: "a\nb"}"#, "logging.level"),
        ("data: {dir: \"\"}", "data.dir"),
        ("data: {fsyncInterval: 0s}", "data.fsyncInterval"),
        ("data: {fsyncInterval: 11m}", "data.fsyncInterval"),
        ("data: {compactAt: 0}", "data.compactAt"),
        ("revocations: {keep: 0s}", "revocations.keep"),
        ("tickets: {redeemWithin: 0s}", "tickets.redeemWithin"),
        ("tickets: {reopenWithin: 2h}", "tickets.reopenWithin"),
        ("tickets: {max: 0}", "tickets.max"),
        ("audit: {target: file}", "audit.file"),
        ("revocations: {max: 0}", "revocations.max"),
        ("retention: {events: 0}", "retention.events"),
        ("retention: {age: 0s}", "retention.age"),
        ("retention: {bytes: 0}", "retention.bytes"),
        ("channels: [{match: a}]", "channels[0]"),
        (
            "channels: [{match: 'a.b*', publish: deny}]",
            "channels[0].match",
        ),
        (&long_match, "channels[0].match"),
        (
            "channels: [{match: a, retention: {events: 0}}]",
            "channels[0].retention.events",
        ),
        (
            "channels: [{match: a, retention: {age: 0s}}]",
            "channels[0].retention.age",
        ),
        (
            "channels: [{match: a, retention: {bytes: 0}}]",
            "channels[0].retention.bytes",
        ),
        (
            "channels: [{match: a, overflow: coalesce}]",
            "channels[0].coalesceBy",
        ),
        (
            "channels: [{match: a, overflow: dropOldest, coalesceBy: b}]",
            "channels[0].coalesceBy",
        ),
        (
            "channels: [{match: a, coalesceBy: \"\"}]",
            "channels[0].coalesceBy",
        ),
        (
            "channels: [{match: a, maxEventBytes: 0}]",
            "channels[0].maxEventBytes",
        ),
        (
            "channels: [{match: a, maxEventBytes: 2Mi}]",
            "channels[0].maxEventBytes",
        ),
        (
            "auth: {anonymous: {publish: ['a*']}}",
            "auth.anonymous.publish[0]",
        ),
        (
            "auth: {tokens: [{name: a, sha256: abc, manage: [observe]}]}",
            "auth.tokens[0].sha256",
        ),
        (&no_right, "auth.tokens[0]"),
        (&bad_expiry, "auth.tokens[0].expires"),
        (&twice, "auth.tokens[1]"),
        ("cors: {origins: [a.example]}", "cors.origins[0]"),
        ("cors: {origins: ['https://*.com']}", "cors.origins[0]"),
        (
            "cors: {origins: ['https://a.example', '*'], credentials: true}",
            "cors.origins[1]",
        ),
        (
            "cors: {origins: ['null'], credentials: true}",
            "cors.origins[0]",
        ),
        ("proxies: {trusted: [10.0.0.0/33]}", "proxies.trusted[0]"),
        ("proxies: {plaintext: refuse}", "proxies.plaintext"),
        ("proxies: {proxyProtocol: accept}", "proxies.proxyProtocol"),
        ("limits: {total: {streams: 0}}", "limits.total.streams"),
        (
            "limits: {perAddress: {publishBytesPerSecond: 0}}",
            "limits.perAddress.publishBytesPerSecond",
        ),
        (
            "limits: {perAttribute: [{attribute: team}]}",
            "limits.perAttribute[0]",
        ),
        (
            "limits: {perAttribute: [{attribute: '', streams: 1}]}",
            "limits.perAttribute[0].attribute",
        ),
        (
            "limits: {perAttribute: [{attribute: a, streams: 1}, {attribute: a, opensPerSecond: 1}]}",
            "limits.perAttribute[1]",
        ),
        (
            "limits: {total: {streams: 9}}\nstream: {maxConnections: 9}",
            "limits.total.streams",
        ),
        ("limits: {ipv4Prefix: 7}", "limits.ipv4Prefix"),
        ("limits: {ipv6Prefix: 129}", "limits.ipv6Prefix"),
        ("limits: {burst: 11m}", "limits.burst"),
        ("limits: {maxTracked: 0}", "limits.maxTracked"),
        ("cors: {methods: []}", "cors.methods"),
        ("cors: {headers: ['a b']}", "cors.headers[0]"),
        ("cors: {exposedHeaders: ['*']}", "cors.exposedHeaders[0]"),
        ("cors: {maxAge: 25h}", "cors.maxAge"),
        ("event: {maxBytes: 0}", "event.maxBytes"),
        ("event: {maxBytes: 1048577}", "event.maxBytes"),
        ("maxLogBytes: 1048575", "event.maxBytes"),
        ("http: {maxBodyBytes: 1048575}", "event.maxBytes"),
        ("idempotency: {window: 999ms}", "idempotency.window"),
        ("idempotency: {window: 25h}", "idempotency.window"),
        ("idempotency: {maxKeys: 0}", "idempotency.maxKeys"),
        ("heartbeat: {interval: 999ms}", "heartbeat.interval"),
        ("heartbeat: {interval: 10m1ms}", "heartbeat.interval"),
        ("stream: {retry: 0s}", "stream.retry"),
        ("stream: {retry: 61m}", "stream.retry"),
        ("stream: {retryJitter: -0.1}", "stream.retryJitter"),
        ("stream: {retryJitter: 10.1}", "stream.retryJitter"),
        ("stream: {maxQueueBytes: 0}", "stream.maxQueueBytes"),
        ("stream: {maxQueueBytes: 257Mi}", "stream.maxQueueBytes"),
        ("stream: {overflow: coalesce}", "stream.overflow"),
        ("stream: {maxChannels: 0}", "stream.maxChannels"),
        ("stream: {maxConnections: 0}", "stream.maxConnections"),
        ("stream: {writeTimeout: 0s}", "stream.writeTimeout"),
        ("stream: {maxAge: 999ms}", "stream.maxAge"),
        ("tcp: {keepAlive: 0s}", "tcp.keepAlive"),
        ("tls: {certificate: \"\", key: k}", "tls.certificate"),
        ("tls: {certificate: c, key: \"\"}", "tls.key"),
        (
            "tls: {certificate: c, key: k, clientAuth: optional}",
            "tls.clientCa",
        ),
        ("tls: {certificate: c, key: k, clientCa: a}", "tls.clientCa"),
        (
            "tls: {certificate: c, key: k, handshakeTimeout: 0s}",
            "tls.handshakeTimeout",
        ),
        (
            "tls: {certificate: c, key: k, maxHandshakes: 0}",
            "tls.maxHandshakes",
        ),
        ("tcp: {userTimeout: 2h}", "tcp.userTimeout"),
        ("http: {http1: false, http2: false}", "http.http1"),
        (
            "http: {maxConcurrentStreams: 0}",
            "http.maxConcurrentStreams",
        ),
        ("http: {headTimeout: 0s}", "http.headTimeout"),
        ("http: {idleTimeout: 0s}", "http.idleTimeout"),
        ("http: {bodyTimeout: 0s}", "http.bodyTimeout"),
        ("http: {maxHeadBytes: 8191}", "http.maxHeadBytes"),
        ("http: {maxHeadBytes: 1025Ki}", "http.maxHeadBytes"),
        ("http: {maxBatchEvents: 0}", "http.maxBatchEvents"),
        ("http: {threads: 0}", "http.threads"),
        ("http: {threads: 1025}", "http.threads"),
        ("drain: {timeout: 24s}", "drain.timeout"),
        ("drain: {timeout: 11m}", "drain.timeout"),
        ("demo: {interval: 9ms}", "demo.interval"),
        ("demo: {prefix: a.*}", "demo.prefix"),
        (&long_prefix, "demo.prefix"),
    ];
    for (yaml, path) in cases {
        let paths: Vec<_> = problems(yaml).into_iter().map(|p| p.path).collect();
        assert_eq!(paths, [path], "{yaml}");
    }
}

#[test]
fn what_is_just_legal_is_accepted() {
    for yaml in [
        "adminListen: 127.0.0.1:0\nlisten: 127.0.0.1:0",
        "listen: 0.0.0.0:8080",
        "limits: {total: {streams: 8}}\nstream: {maxConnections: 9}",
        "proxies: {trusted: ['10.0.0.0/8', '::1'], header: Forwarded, plaintext: redirect}",
        "cors: {origins: ['*', 'null'], headers: ['*']}",
        "cors: {origins: ['https://*.a.example'], credentials: true, maxAge: 0s}",
        "heartbeat: {interval: 1s}",
        "heartbeat: {interval: 10m}",
        "drain: {propagation: 5s, window: 20s, timeout: 25s}",
        "drain: {propagation: 0s, window: 0s, timeout: 0s}",
        "drain: {propagation: 0s, window: 10m, timeout: 10m}",
        "stream: {maxQueueBytes: 256Mi}",
        "stream: {retryJitter: 0}",
        "stream: {retryJitter: 10}",
        "event: {maxBytes: 1Mi, maxAttributes: 0}",
        "http: {http1: false}",
        "channels: [{match: a, coalesceBy: b}]",
        "channels: [{match: \"**\", overflow: coalesce, coalesceBy: b}]",
    ] {
        assert_eq!(problems(yaml), [], "{yaml}");
    }
}

#[test]
fn draining_that_cannot_fit_says_how_long_it_takes() {
    let found = problems("drain: {propagation: 10s, window: 11m, timeout: 30s}");
    let texts: Vec<_> = found.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            "drain.window: is 11m; write a time from 0s to 10m",
            "drain.timeout: is 30s, but `propagation` and `window` together take 11m10s; \
             raise it to at least that, or shorten them",
        ]
    );
}

#[test]
fn a_bound_on_nothing_at_all_is_refused_wherever_it_is() {
    let yaml = "maxLogBytes: 0\nstream: {maxMemory: 0}\nhttp: {maxBodyBytes: 0}\n";
    let paths: Vec<_> = problems(yaml).into_iter().map(|p| p.path).collect();
    for path in ["maxLogBytes", "stream.maxQueueBytes", "http.maxBodyBytes"] {
        assert!(paths.iter().any(|p| p == path), "{path} in {paths:?}");
    }
}

#[cfg(unix)]
#[test]
fn a_directory_that_cannot_be_written_as_text_is_refused() {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;

    let mut config = Config::default();
    config.data.dir = Some(OsString::from_vec(vec![0xff]).into());
    let found = config.validate().unwrap_err();
    assert_eq!(found[0].path, "data.dir");
}

fn route_problems(route: &str) -> Vec<String> {
    let yaml = format!("routes:\n  - {}", route.replace('\n', "\n    "));
    match Config::from_sources(Some(("test", &yaml)), &std::collections::BTreeMap::new()) {
        Ok(_) => Vec::new(),
        Err(error) => error.to_string().lines().map(str::to_owned).collect(),
    }
}

#[test]
fn a_route_with_everything_is_right() {
    let route = r#"
paths: ["/live/{room}", "/room={room}"]
channels: ["rooms.{room}", "news.*"]
filters: [{parameter: kinds, value: "${data.kind|type|''}", values: one, repeated: last}]
credentials: {scheme: Token, queryParameter: token}
cors: off
charset: unnamed
overflow: dropOldest
lifetime: 5m
dialect:
  lineEnd: crlf
  lineEndFrom: "${data.sep}"
  json: spacedAscii
  greeting: [[{data: ""}], [{event: hello}, {json: '{"id": ${client.id}, "kinds": ${filter.kinds|["all"]}}'}]]
  event: [{id: "${id}"}, {event: "${type}"}, {json: "${data}", fill: [{key: sent, json: "${time:isoformat}"}]}]
  heartbeat: {interval: 5s, when: idle, frame: [{event: beat}, {json: '{"n": ${clients}}'}]}
  gap: [{id: "${id}"}, {event: gap}, {json: '{"reason": ${reason}}'}]
  end: [{event: over}, {data: "${channel}"}]
  farewell: {when: draining, frame: [{event: bye}, {data: "${reason}"}, {retry: "${retry}"}]}
refusals: [{problem: unauthenticated, reason: expired, status: 401, json: '{"detail": ${detail}}'}]"#;
    assert_eq!(route_problems(route.trim_start()), [""; 0]);
    let status =
        "paths: [/a]\nchannels: [a]\nstatus: {paths: [/a/status], json: '{\"n\": ${clients}}'}";
    assert_eq!(route_problems(status), [""; 0]);
}

#[test]
fn what_is_wrong_with_a_route_is_said_where_it_is() {
    let simple = "paths: [/a]\nchannels: [a]\n";
    for (route, at, says) in [
        (
            "paths: []\nchannels: [a]".into(),
            "routes[0].paths",
            "1 to 8",
        ),
        (
            "paths: [/v1/x]\nchannels: [a]".into(),
            "routes[0].paths[0]",
            "relay's own",
        ),
        (
            "paths: [/a, /a]\nchannels: [a]".into(),
            "routes[0].paths[1]",
            "each path once",
        ),
        (
            "paths: ['/{r}', /a]\nchannels: ['{r}']".into(),
            "routes[0].channels[0]",
            "not every path",
        ),
        (
            "paths: [/a]\nchannels: ['a*']".into(),
            "routes[0].channels[0]",
            "`*`",
        ),
        (
            "paths: [/a]\nchannels: []".into(),
            "routes[0].channels",
            "is empty",
        ),
        (
            format!("{simple}filters: [{{parameter: k, value: '${{id}}'}}]"),
            "routes[0].filters[0].value",
            "means nothing here",
        ),
        (
            format!("{simple}credentials: {{scheme: 'a b'}}"),
            "routes[0].credentials.scheme",
            "one word",
        ),
        (
            format!("{simple}overflow: coalesce"),
            "routes[0].overflow",
            "coalesceBy",
        ),
        (
            format!("{simple}dialect: {{event: []}}"),
            "routes[0].dialect.event",
            "is empty",
        ),
        (
            format!("{simple}dialect: {{event: [{{id: a, data: b}}]}}"),
            "routes[0].dialect.event[0]",
            "exactly one",
        ),
        (
            format!("{simple}dialect: {{event: [{{data: '${{client.id}}'}}]}}"),
            "routes[0].dialect.event[0].data",
            "known here are data",
        ),
        (
            format!("{simple}dialect: {{event: [{{data: x, fill: [{{key: k, json: '1'}}]}}]}}"),
            "routes[0].dialect.event[0].fill",
            "without `json`",
        ),
        (
            format!("{simple}dialect: {{greeting: [[{{json: '${{filter.x}}'}}]]}}"),
            "routes[0].dialect.greeting[0][0].json",
            "no parameter",
        ),
        (
            format!("{simple}dialect: {{heartbeat: {{interval: 1h}}}}"),
            "routes[0].dialect.heartbeat.interval",
            "1s to 10m",
        ),
        (
            format!("{simple}status: {{paths: [/a], json: '{{}}'}}"),
            "routes[0].status.paths[0]",
            "each path once",
        ),
        (
            "paths: ['/{c}']\nchannels: ['{c}']\nstatus: {paths: [/s], json: '{}'}".into(),
            "routes[0].status",
            "depend on the path",
        ),
        (
            format!(
                "{simple}status: {{paths: [/s], json: '{{}}', refusals: [{{problem: any, status: 200, json: '{{}}'}}]}}"
            ),
            "routes[0].status.refusals[0].status",
            "from 400 to 599",
        ),
        (
            format!("{simple}refusals: [{{problem: any, status: 200, json: '{{}}'}}]"),
            "routes[0].refusals[0].status",
            "400 to 599",
        ),
    ] {
        let problems = route_problems(&route);
        let found = problems
            .iter()
            .any(|line| line.contains(&format!("{at}: ")) && line.contains(says));
        assert!(found, "{route}\n{at}: {says}\n{problems:?}");
    }
}
