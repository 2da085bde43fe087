//! What must hold beyond each field's type.

mod archive;
mod carriers;
mod client_certificates;
mod cors;
mod forward;
mod jwt;
mod limits;
mod proxies;
mod routes;
mod sources;
mod traces;
mod unix_sockets;

use std::fmt;

use crate::audit::AuditTarget;
use crate::auth::Auth;
use crate::byte_size::ByteSize;
use crate::channels::ChannelRule;
use crate::config::Config;
use crate::delivery::Overflow;
use crate::log_filter::LogFilter;
use crate::pattern::ChannelPattern;
use crate::timespan::Timespan;
use crate::tls::{ClientAuth, Tls};

/// The longest of each time of draining: how long Kubernetes is asked to wait at most.
const MAX_DRAIN: Timespan = Timespan::from_secs(600);
/// The longest deadline of HTTP, and the longest heartbeat interval.
const MAX_INTERVAL: Timespan = Timespan::from_secs(600);
const ONE_MILLI: Timespan = Timespan::from_millis(1);
const ONE_SECOND: Timespan = Timespan::from_secs(1);
const ONE_HOUR: Timespan = Timespan::from_secs(3_600);
const ONE_DAY: Timespan = Timespan::from_secs(86_400);
/// The longest name of an environment, a demo prefix or an attribute, in bytes.
const MAX_NAME_BYTES: usize = 100;
/// The most delivery threads: beyond any machine.
const MAX_THREADS: usize = 1_024;

/// One thing to correct.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The field, as in `drain.window` or `channels[0].match`; empty for the whole document.
    pub path: String,
    /// What is wrong and what to do.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            return f.write_str(&self.message);
        }
        write!(f, "{}: {}", self.path, self.message)
    }
}

impl Config {
    /// All problems of the document at once, in the order of its fields.
    ///
    /// Whether a `listen` address open to everybody is meant is for the relay to say, since it
    /// alone knows the credentials.
    pub fn validate(&self) -> Result<(), Vec<Problem>> {
        let mut problems = Problems::default();
        self.check_addresses_and_names(&mut problems);
        unix_sockets::check(&mut problems, &self.unix_sockets);
        if let Some(auth) = &self.auth {
            check_auth(&mut problems, auth);
            client_certificates::check(&mut problems, auth, self.tls.as_ref());
        }
        problems.time(
            "revocations.keep",
            self.revocations.keep,
            ONE_SECOND..=Timespan::MAX,
        );
        problems.size("revocations.max", self.revocations.max);
        self.check_tickets(&mut problems);
        problems.add_if(
            self.audit.target == AuditTarget::File && self.audit.file.is_none(),
            "audit.file",
            "is missing; name the file that `target: file` appends to",
        );
        cors::check(&mut problems, &self.cors);
        proxies::check(&mut problems, &self.proxies);
        limits::check(&mut problems, &self.limits, self.stream.max_connections);
        self.check_log(&mut problems);
        for (index, rule) in self.channels.iter().enumerate() {
            self.check_rule(&mut problems, &format!("channels[{index}]"), rule);
        }
        routes::check(&mut problems, self);
        sources::check(&mut problems, &self.sources);
        self.check_events(&mut problems);
        self.check_stream(&mut problems);
        self.check_http(&mut problems);
        self.check_tcp(&mut problems);
        if let Some(tls) = &self.tls {
            check_tls(&mut problems, "tls", tls);
        }
        if let Some(archive) = &self.archive {
            archive::check(&mut problems, archive);
        }
        if let Some(traces) = &self.traces {
            traces::check(&mut problems, traces);
        }
        self.check_drain(&mut problems);
        self.check_demo(&mut problems);
        problems.into_result()
    }

    fn check_addresses_and_names(&self, problems: &mut Problems) {
        let same = self.listen == self.admin_listen && self.listen.port() != 0;
        problems.add_if(
            same,
            "adminListen",
            "is the same as `listen`; choose another port",
        );
        problems.name("environment", &self.environment);
        if let Err(error) = self.logging.level.parse::<LogFilter>() {
            problems.add("logging.level", error.to_string());
        }
    }

    fn check_tickets(&self, problems: &mut Problems) {
        let tickets = &self.tickets;
        for (path, time) in [
            ("tickets.redeemWithin", tickets.redeem_within),
            ("tickets.reopenWithin", tickets.reopen_within),
        ] {
            problems.time(path, time, ONE_SECOND..=ONE_HOUR);
        }
        problems.size("tickets.max", tickets.max);
    }

    fn check_log(&self, problems: &mut Problems) {
        let not_text = self
            .data
            .dir
            .as_ref()
            .is_some_and(|dir| dir.to_str().is_none());
        problems.add_if(
            not_text,
            "data.dir",
            "is not UTF-8; choose another directory",
        );
        let empty = self
            .data
            .dir
            .as_ref()
            .is_some_and(|dir| dir.as_os_str().is_empty());
        problems.add_if(
            empty,
            "data.dir",
            "is empty; write a directory, or leave the key out to keep the log in memory",
        );
        problems.time(
            "data.fsyncInterval",
            self.data.fsync_interval,
            ONE_MILLI..=MAX_INTERVAL,
        );
        problems.bytes("data.compactAt", self.data.compact_at);
        if let Some(redis) = &self.redis {
            problems.0.extend(redis.target().err().unwrap_or_default());
            problems.add_if(
                self.data.dir.is_some(),
                "redis",
                "and data.dir exclude each other: with Redis the log is there; leave one of them out",
            );
        }
        problems.count("retention.events", self.retention.events);
        problems.time(
            "retention.age",
            self.retention.age,
            ONE_MILLI..=Timespan::MAX,
        );
        problems.bytes("retention.bytes", self.retention.bytes);
        problems.bytes("maxLogBytes", self.max_log_bytes);
    }

    fn check_rule(&self, problems: &mut Problems, path: &str, rule: &ChannelRule) {
        if let Err(error) = ChannelPattern::parse(&rule.r#match) {
            problems.add(format!("{path}.match"), error.to_string());
        }
        problems.add_if(
            *rule == ChannelRule::new(rule.r#match.as_str()),
            path,
            "sets nothing; say what holds for these channels, or remove the rule",
        );
        let retention = rule.retention.unwrap_or_default();
        if let Some(events) = retention.events {
            problems.count(&format!("{path}.retention.events"), events);
        }
        if let Some(age) = retention.age {
            problems.time(
                &format!("{path}.retention.age"),
                age,
                ONE_MILLI..=Timespan::MAX,
            );
        }
        if let Some(bytes) = retention.bytes {
            problems.bytes(&format!("{path}.retention.bytes"), bytes);
        }
        check_coalesce(problems, path, rule);
        if let Some(bytes) = rule.max_event_bytes {
            self.check_event_size(problems, &format!("{path}.maxEventBytes"), bytes);
        }
    }

    fn check_events(&self, problems: &mut Problems) {
        self.check_event_size(problems, "event.maxBytes", self.event.max_bytes);
        problems.time(
            "idempotency.window",
            self.idempotency.window,
            ONE_SECOND..=ONE_DAY,
        );
        problems.count("idempotency.maxKeys", self.idempotency.max_keys);
    }

    fn check_event_size(&self, problems: &mut Problems, path: &str, bytes: ByteSize) {
        problems.bytes(path, bytes);
        if bytes > self.http.max_body_bytes {
            problems.add(
                path,
                format!(
                    "is {bytes}, more than a publish can carry; write at most \
                     `http.maxBodyBytes` ({}), or raise that",
                    self.http.max_body_bytes
                ),
            );
        }
        if bytes > self.max_log_bytes {
            problems.add(
                path,
                format!(
                    "is {bytes}, more than the whole log keeps; write at most \
                     `maxLogBytes` ({}), or raise that",
                    self.max_log_bytes
                ),
            );
        }
    }

    fn check_stream(&self, problems: &mut Problems) {
        let stream = &self.stream;
        problems.time(
            "heartbeat.interval",
            self.heartbeat.interval,
            ONE_SECOND..=MAX_INTERVAL,
        );
        problems.time("stream.retry", stream.retry, ONE_MILLI..=ONE_HOUR);
        problems.add_if(
            !(0.0..=10.0).contains(&stream.retry_jitter),
            "stream.retryJitter",
            "write a number from 0 to 10; 0.5 adds up to half of `retry`",
        );
        problems.bytes("stream.maxQueueBytes", stream.max_queue_bytes);
        if stream.max_queue_bytes > stream.max_memory {
            problems.add(
                "stream.maxQueueBytes",
                format!(
                    "is {}, more than all streams together may have; write at most \
                     `stream.maxMemory` ({}), or raise that",
                    stream.max_queue_bytes, stream.max_memory
                ),
            );
        }
        problems.add_if(
            stream.overflow == Overflow::Coalesce,
            "stream.overflow",
            "coalescing needs an attribute to go by; set `overflow` and `coalesceBy` in a rule \
             under `channels` (`match: \"**\"` for every channel)",
        );
        problems.size("stream.maxChannels", stream.max_channels);
        problems.time(
            "stream.writeTimeout",
            stream.write_timeout,
            ONE_SECOND..=ONE_HOUR,
        );
        problems.time("stream.maxAge", stream.max_age, ONE_SECOND..=Timespan::MAX);
        if let Some(connections) = stream.max_connections {
            problems.size("stream.maxConnections", connections);
        }
    }

    fn check_http(&self, problems: &mut Problems) {
        let http = &self.http;
        problems.add_if(
            !http.http1 && !http.http2,
            "http.http1",
            "with `http1` and `http2` both off nobody can connect; turn one of them on",
        );
        problems.count(
            "http.maxConcurrentStreams",
            u64::from(http.max_concurrent_streams),
        );
        problems.time(
            "http.headTimeout",
            http.head_timeout,
            ONE_MILLI..=MAX_INTERVAL,
        );
        problems.time("http.idleTimeout", http.idle_timeout, ONE_MILLI..=ONE_HOUR);
        problems.time("http.bodyTimeout", http.body_timeout, ONE_MILLI..=ONE_HOUR);
        if let Some(hsts) = http.hsts {
            problems.time("http.hsts", hsts, Timespan::default()..=Timespan::MAX);
        }
        // Below 8Ki hyper's HTTP/1 buffer cannot be set; above 1Mi it is a way to use up memory.
        let head = ByteSize::from_kib(8)..=ByteSize::from_mib(1);
        problems.add_if(
            !head.contains(&http.max_head_bytes),
            "http.maxHeadBytes",
            "write a size from 8Ki to 1Mi",
        );
        problems.bytes("http.maxBodyBytes", http.max_body_bytes);
        problems.size("http.maxBatchEvents", http.max_batch_events);
        problems.add_if(
            http.threads
                .is_some_and(|n| !(1..=MAX_THREADS).contains(&n)),
            "http.threads",
            "write a number from 1 to 1024, or leave the key out for one per core",
        );
    }

    fn check_tcp(&self, problems: &mut Problems) {
        problems.time("tcp.keepAlive", self.tcp.keep_alive, ONE_SECOND..=ONE_HOUR);
        problems.time(
            "tcp.userTimeout",
            self.tcp.user_timeout,
            ONE_SECOND..=ONE_HOUR,
        );
    }

    fn check_drain(&self, problems: &mut Problems) {
        let drain = &self.drain;
        let zero = Timespan::default();
        problems.time("drain.propagation", drain.propagation, zero..=MAX_DRAIN);
        problems.time("drain.window", drain.window, zero..=MAX_DRAIN);
        problems.time("drain.timeout", drain.timeout, zero..=MAX_DRAIN);
        let needed = drain.propagation.as_millis() + drain.window.as_millis();
        if needed > drain.timeout.as_millis() {
            problems.add(
                "drain.timeout",
                format!(
                    "is {}, but `propagation` and `window` together take {}; raise it to at \
                     least that, or shorten them",
                    drain.timeout,
                    Timespan::from_millis(needed)
                ),
            );
        }
    }

    fn check_demo(&self, problems: &mut Problems) {
        let ten_millis = Timespan::from_millis(10);
        problems.time("demo.interval", self.demo.interval, ten_millis..=ONE_HOUR);
        let prefix = &self.demo.prefix;
        let legal = ChannelPattern::parse(prefix).is_ok_and(|pattern| pattern.is_literal());
        problems.add_if(
            !legal || prefix.len() > MAX_NAME_BYTES,
            "demo.prefix",
            "write dot-separated names without stars and control characters, at most 100 bytes",
        );
    }
}

fn check_auth(problems: &mut Problems, auth: &Auth) {
    check_patterns(problems, "auth.anonymous.publish", &auth.anonymous.publish);
    check_patterns(
        problems,
        "auth.anonymous.subscribe",
        &auth.anonymous.subscribe,
    );
    jwt::check(problems, &auth.jwt);
    carriers::check(problems, auth);
    if let Some(forward) = &auth.forward {
        forward::check(problems, forward);
    }
    for (index, token) in auth.tokens.iter().enumerate() {
        let path = format!("auth.tokens[{index}]");
        problems.name(&format!("{path}.name"), &token.name);
        let twice = auth.tokens[..index].iter().any(|earlier| {
            earlier.name == token.name || earlier.sha256.eq_ignore_ascii_case(&token.sha256)
        });
        problems.add_if(
            twice,
            &path,
            "has the name or the hash of an earlier token; give each token once",
        );
        let hash = token.sha256.len() == 64 && token.sha256.bytes().all(|b| b.is_ascii_hexdigit());
        problems.add_if(
            !hash,
            &format!("{path}.sha256"),
            "is not a SHA-256 in hexadecimal; `sse-relay token new` makes a token and its hash",
        );
        check_patterns(problems, &format!("{path}.publish"), &token.publish);
        check_patterns(problems, &format!("{path}.subscribe"), &token.subscribe);
        let nothing =
            token.publish.is_empty() && token.subscribe.is_empty() && token.manage.is_empty();
        problems.add_if(
            nothing,
            &path,
            "allows nothing; say what its holder may publish to, subscribe to or manage",
        );
        if let Some(subject) = &token.subject {
            problems.name(&format!("{path}.subject"), subject);
        }
        let ends = token
            .expires
            .as_ref()
            .map(|time| time.parse::<jiff::Timestamp>());
        problems.add_if(
            matches!(ends, Some(Err(_))),
            &format!("{path}.expires"),
            "write a time such as 2027-01-01T00:00:00Z (RFC 3339)",
        );
    }
}

fn check_tls(problems: &mut Problems, path: &str, tls: &Tls) {
    let field = |name: &str| format!("{path}.{name}");
    let files = [
        ("certificate", Some(&tls.certificate)),
        ("key", Some(&tls.key)),
        ("clientCa", tls.client_ca.as_ref()),
    ];
    for (name, file) in files {
        let wrong = file.is_some_and(|file| file.is_empty() || file.contains('\0'));
        problems.add_if(wrong, &field(name), "write the path of a PEM file");
    }
    match (tls.client_auth, &tls.client_ca) {
        (ClientAuth::Optional | ClientAuth::Required, None) => problems.add(
            field("clientCa"),
            "is missing; name a file with the authorities whose clients are believed",
        ),
        (ClientAuth::None, Some(_)) => problems.add(
            field("clientCa"),
            "has no effect without `clientAuth: optional` or `required`; write one of them, or \
             remove it",
        ),
        _ => {}
    }
    problems.time(
        &field("handshakeTimeout"),
        tls.handshake_timeout,
        ONE_MILLI..=MAX_INTERVAL,
    );
    problems.size(&field("maxHandshakes"), tls.max_handshakes);
}

fn check_patterns(problems: &mut Problems, path: &str, patterns: &[String]) {
    for (index, pattern) in patterns.iter().enumerate() {
        if let Err(error) = ChannelPattern::parse(pattern) {
            problems.add(format!("{path}[{index}]"), error.to_string());
        }
    }
}

fn check_coalesce(problems: &mut Problems, path: &str, rule: &ChannelRule) {
    match (rule.overflow, &rule.coalesce_by) {
        (Some(Overflow::Coalesce), None) => problems.add(
            format!("{path}.coalesceBy"),
            "is missing; name the attribute whose last value is kept",
        ),
        (
            Some(
                Overflow::Disconnect
                | Overflow::DropOldest
                | Overflow::DropNewest
                | Overflow::CatchUp,
            ),
            Some(_),
        ) => problems.add(
            format!("{path}.coalesceBy"),
            "has no effect with this `overflow`; remove it, or write `overflow: coalesce`",
        ),
        _ => {}
    }
    if let Some(attribute) = &rule.coalesce_by {
        problems.name(&format!("{path}.coalesceBy"), attribute);
    }
}

#[derive(Default)]
struct Problems(Vec<Problem>);

impl Problems {
    fn add(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.0.push(Problem {
            path: path.into(),
            message: message.into(),
        });
    }

    fn add_if(&mut self, wrong: bool, path: &str, message: &str) {
        if wrong {
            self.add(path, message);
        }
    }

    fn time(&mut self, path: &str, value: Timespan, legal: std::ops::RangeInclusive<Timespan>) {
        if !legal.contains(&value) {
            let (from, to) = legal.into_inner();
            self.add(
                path,
                format!("is {value}; write a time from {from} to {to}"),
            );
        }
    }

    fn bytes(&mut self, path: &str, value: ByteSize) {
        self.add_if(value.get() == 0, path, "is 0; write a size such as `1Mi`");
    }

    fn count(&mut self, path: &str, value: u64) {
        self.add_if(value == 0, path, "is 0; write at least 1");
    }

    fn size(&mut self, path: &str, value: usize) {
        self.add_if(value == 0, path, "is 0; write at least 1");
    }

    fn name(&mut self, path: &str, value: &str) {
        let legal =
            (1..=MAX_NAME_BYTES).contains(&value.len()) && !value.chars().any(char::is_control);
        self.add_if(
            !legal,
            path,
            "write 1 to 100 bytes without control characters",
        );
    }

    fn into_result(self) -> Result<(), Vec<Problem>> {
        if self.0.is_empty() {
            return Ok(());
        }
        Err(self.0)
    }
}
