//! Redis has lost what it had confirmed a moment before, as a server does that is made primary before it
//! has heard all: here its keys are turned back.

use super::{
    tickets::{query, ticket, try_open},
    *,
};

/// What replicas share, as it is now: kept beside, to be put in its place later, all at once.
pub struct Moment<'s>(&'s Server);

const KEEP: &str = r#"
    for _, key in ipairs(redis.call('KEYS', 'sse-relay:{fleet}:*')) do
        redis.call('COPY', key, 'kept:' .. key)
    end"#;
const COME_BACK: &str = r#"
    for _, key in ipairs(redis.call('KEYS', 'sse-relay:{fleet}:*')) do
        redis.call('DEL', key)
    end
    for _, key in ipairs(redis.call('KEYS', 'kept:sse-relay:{fleet}:*')) do
        redis.call('COPY', key, string.sub(key, 6))
    end
    return redis.call('HVALS', 'sse-relay:{fleet}:' .. ARGV[1])"#;

impl Moment<'_> {
    pub fn of(server: &Server) -> Moment<'_> {
        server.cli(&["EVAL", KEEP, "0"]);
        Moment(server)
    }

    /// As a primary has it that was a replica before. Answers what stands in this hash then; relays may
    /// change it at once.
    pub fn comes_back(&self, name: &str) -> String {
        let left = self.0.cli(&["EVAL", COME_BACK, "0", name]);
        assert_eq!(self.0.cli(&["DEBUG", "CHANGE-REPL-ID"]), "OK");
        self.0.cli(&["CLIENT", "KILL", "TYPE", "normal"]);
        left
    }
}

/// One whose life as a primary can be made another one.
pub fn server() -> Server {
    Server::start_with(&[("enable-debug-command", "yes")])
}

fn two_on(server: &Server) -> [Relay; 2] {
    relays(&[
        ("SSE_RELAY_REDIS__URL", &server.url()),
        ("SSE_RELAY_TICKETS__REDEEM_WITHIN", "5m"),
        ("SSE_RELAY_TICKETS__REOPEN_WITHIN", "5m"),
    ])
}

fn revoke(relay: &Relay, body: &Value) -> String {
    let made = post(relay, "/v1/revocations", body).json();
    made["id"].as_str().unwrap().to_owned()
}

/// Until both list so many revocations, and each ends then.
fn until_listed(relays: &[Relay; 2], ends: &[&str]) {
    for relay in relays {
        until("revocations that all know", || {
            let listed = get(relay, "/v1/revocations").json();
            let listed = listed["revocations"].as_array()?.iter();
            let mut until: Vec<&str> = listed.filter_map(|one| one["until"].as_str()).collect();
            until.sort_unstable();
            (until == ends).then_some(())
        });
    }
}

#[test]
fn a_ticket_that_redis_forgot_is_as_its_replica_wrote_it() {
    let server = server();
    let [one, two] = two_on(&server);
    let unused = ticket(&one, &json!({}));
    let used = ticket(&one, &json!({}));
    let before = Moment::of(&server);
    let made = ticket(&one, &json!({}));
    let (mut stream, id) = open(&two, &query(&used), &["User-Agent: a"]);
    let heads = |records: &str| {
        let mut records: Vec<String> = records
            .lines()
            .map(|record| record.split(' ').take(3).collect::<Vec<_>>().join(" "))
            .collect();
        records.sort_unstable();
        records
    };
    let records = || heads(&server.cli(&["HVALS", "sse-relay:{fleet}:tickets"]));
    let all = ["1 - -", "1 - -", &format!("1 {id} -")].map(str::to_owned);
    until("a ticket in use", || (records() == all).then_some(()));
    let left = heads(&before.comes_back("tickets"));
    assert_eq!(left, ["1 - -", "1 - -"], "one is gone, and none is used");
    until("what was lost", || (records() == all).then_some(()));
    assert_eq!(
        try_open(&one, &used, "b").status,
        401,
        "it still is another's"
    );
    publish(&one, "orders.eu", "x");
    stream.until("data: x\n");
    for ticket in [made, unused] {
        assert_eq!(try_open(&two, &ticket, "a").status, 200);
    }
}

#[test]
fn a_stream_stays_whose_ticket_redis_knows_by_an_earlier_stream_only() {
    let server = server();
    let [one, two] = two_on(&server);
    let ticket = ticket(&one, &json!({}));
    let (first, id) = open(&one, &query(&ticket), &["User-Agent: a"]);
    let of = |record: &str| record.split(' ').nth(1).unwrap().to_owned();
    let opened = || of(&server.cli(&["HVALS", "sse-relay:{fleet}:tickets"]));
    assert_eq!(opened(), id);
    let before = Moment::of(&server);
    let (mut second, again) = open(&two, &query(&ticket), &["User-Agent: a"]);
    assert!(rest(first).contains(r#"{"reason":"replaced"}"#));
    until("the stream that is open, told", || {
        let record = server.cli(&["HVALS", "sse-relay:{fleet}:tickets"]);
        record.starts_with(&format!("1 {again} - ")).then_some(())
    });
    assert_eq!(of(&before.comes_back("tickets")), id);
    until("the stream that is open", || {
        (opened() == again).then_some(())
    });
    publish(&one, "orders.eu", "x");
    let told = second.until("data: x\n");
    assert!(!told.contains("event: end"), "{told}");
}

#[test]
fn the_end_of_a_ticketed_stream_that_redis_forgot_is_told_again() {
    let server = server();
    let [one, two] = two_on(&server);
    let ticket = ticket(&one, &json!({}));
    let (stream, _) = open(&two, &query(&ticket), &["User-Agent: a"]);
    let of = |record: &str| record.split(' ').nth(2).unwrap().to_owned();
    let idle = || of(&server.cli(&["HVALS", "sse-relay:{fleet}:tickets"]));
    until("a ticket in use", || (idle() == "-").then_some(()));
    let before = Moment::of(&server);
    drop(stream);
    let ended = until("a ticket whose stream ended", || {
        Some(idle()).filter(|idle| idle != "-")
    });
    assert_eq!(of(&before.comes_back("tickets")), "-");
    until("when its stream ended", || (idle() == ended).then_some(()));
}

#[test]
fn a_revocation_that_redis_forgot_in_part_holds_as_it_was_made_last() {
    let server = server();
    let both = two_on(&server);
    let [short, long] = ["2040-01-01T00:00:00.000Z", "2050-01-01T00:00:00.000Z"];
    revoke(&both[0], &json!({"subject": "ann", "until": short}));
    until_listed(&both, &[short]);
    let before = Moment::of(&server);
    revoke(&both[0], &json!({"subject": "ann", "until": long}));
    revoke(&both[1], &json!({"subject": "bob", "until": long}));
    until_listed(&both, &[long, long]);
    let of = |records: &str| records.matches(&until_of(long)).count();
    let kept = || of(&server.cli(&["HVALS", "sse-relay:{fleet}:revocations"]));
    assert_eq!(of(&before.comes_back("revocations")), 0);
    until("both as they were made last", || {
        (kept() == 2).then_some(())
    });
    until_listed(&both, &[long, long]);
}

/// As records have it.
fn until_of(time: &str) -> String {
    let at: jiff::Timestamp = time.parse().unwrap();
    format!(r#""until":{}"#, at.as_millisecond())
}

#[test]
fn a_revocation_made_while_redis_was_away_is_later_than_what_redis_knows() {
    let mut server = Server::start_with(&[("appendonly", "yes"), ("appendfsync", "always")]);
    let both = two_on(&server);
    let [short, long] = ["2040-01-01T00:00:00.000Z", "2050-01-01T00:00:00.000Z"];
    revoke(&both[0], &json!({"subject": "ann", "until": short}));
    let bob = revoke(&both[0], &json!({"subject": "bob", "until": short}));
    until_listed(&both, &[short, short]);
    let back = both[0].request(
        "DELETE",
        &format!("/v1/revocations/{bob}"),
        &[OPERATOR],
        b"",
    );
    assert!(back.status < 300, "{back:?}");
    until_listed(&both, &[short]);
    server.kill();
    // one was made before with another end, and one was taken back
    for subject in ["ann", "bob"] {
        let made = post(
            &both[0],
            "/v1/revocations",
            &json!({"subject": subject, "until": long}),
        );
        assert_eq!(made.status, 202, "{made:?}");
    }
    server.restart();
    until_listed(&both, &[long, long]);
}
