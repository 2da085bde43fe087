//! Any configuration, written as YAML and read back, is the same.

mod protection;
mod routes;
mod sources;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

use crate::load::read;
use crate::{
    Access, Algorithm, Anonymous, Archive, Audit, AuditTarget, Auth, ByteSize, CertificateRule,
    ChannelRule, Claims, ClientAuth, Config, Cookie, Data, Demo, Drain, EventLimits, Expiry,
    Forward, Fsync, GrantTemplate, Heartbeat, HeartbeatAs, Http, Idempotency, Jwks, Jwt, JwtKey,
    LogFormat, Logging, Overflow, Postgres, PostgresCredentials, PostgresTls, Redis, RedisCluster,
    RedisCredentials, RedisSentinel, RedisTls, Retention, RetentionOverride, Revocations, Right,
    StaticToken, Stream, Tcp, TicketBinding, Tickets, Timespan, Tls, TlsVersion, Traces,
    UnixSocket,
};

fn span() -> impl Strategy<Value = Timespan> {
    (0..=Timespan::MAX.as_millis()).prop_map(Timespan::from_millis)
}

fn bytes() -> impl Strategy<Value = ByteSize> {
    any::<u64>().prop_map(ByteSize)
}

/// Any text, often one that YAML would take for something else.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[ -~\\n\\t\\r]{0,20}",
        "(?s).{0,200}",
        prop::sample::select(vec![
            "",
            " ",
            "~",
            "null",
            "true",
            "no",
            "off",
            "1",
            "0x1",
            "1e3",
            ".nan",
            ".inf",
            "-",
            "- a",
            "a: b",
            "# a",
            "a #b",
            "'",
            "\"",
            "*a",
            "&a",
            "!a",
            "|",
            ">",
            "%a",
            "@a",
            "`a",
            "---",
            "...",
            "[",
            "{",
            "<<",
            "=",
            "2026-01-01",
            "1:20",
            "\n",
            " a",
            "a ",
            "a\n",
            "\u{85}",
            "\u{2028}",
            "\u{feff}",
            "\\",
            "?",
            "? a",
            ": a",
            ",",
            "\0",
            "\u{7f}",
            "1_000",
            "+1",
            "-0",
            "0o7",
            "Null",
            "TRUE",
            "y",
        ])
        .prop_map(str::to_owned),
    ]
}

/// Without an IPv6 flow label, which has no notation.
fn address() -> impl Strategy<Value = SocketAddr> {
    any::<(IpAddr, u16)>().prop_map(SocketAddr::from)
}

fn overflow() -> impl Strategy<Value = Overflow> {
    use Overflow::{CatchUp, Coalesce, Disconnect, DropNewest, DropOldest};
    prop::sample::select(vec![Disconnect, DropOldest, DropNewest, CatchUp, Coalesce])
}

fn access() -> impl Strategy<Value = Access> {
    prop::sample::select(vec![Access::Allow, Access::Deny])
}

fn rule() -> impl Strategy<Value = ChannelRule> {
    let retention = (of(any::<u64>()), of(span()), of(bytes()))
        .prop_map(|(events, age, bytes)| RetentionOverride { events, age, bytes });
    (
        text(),
        of(retention),
        of(overflow()),
        of(text()),
        of(bytes()),
        of(access()),
        of(access()),
    )
        .prop_map(
            |(r#match, retention, overflow, coalesce_by, max_event_bytes, publish, subscribe)| {
                ChannelRule {
                    r#match,
                    retention,
                    overflow,
                    coalesce_by,
                    max_event_bytes,
                    publish,
                    subscribe,
                }
            },
        )
}

fn log() -> impl Strategy<Value = (Data, Retention, EventLimits, Idempotency)> {
    let fsync = prop::sample::select(vec![Fsync::Always, Fsync::Interval, Fsync::Never]);
    let data = (of(text()), fsync, span(), bytes()).prop_map(
        |(dir, fsync, fsync_interval, compact_at)| Data {
            dir: dir.map(Into::into),
            fsync,
            fsync_interval,
            compact_at,
        },
    );
    let retention = (any::<u64>(), span(), bytes()).prop_map(|(events, age, bytes)| Retention {
        events,
        age,
        bytes,
    });
    let event = (bytes(), any::<usize>()).prop_map(|(max_bytes, max_attributes)| EventLimits {
        max_bytes,
        max_attributes,
    });
    let idempotency =
        (span(), any::<u64>()).prop_map(|(window, max_keys)| Idempotency { window, max_keys });
    (data, retention, event, idempotency)
}

fn stream() -> impl Strategy<Value = Stream> {
    (
        (
            span(),
            prop::num::f64::NORMAL | prop::num::f64::ZERO,
            any::<bool>(),
        ),
        (bytes(), bytes(), overflow()),
        (any::<usize>(), any::<usize>(), of(any::<usize>())),
        (span(), span()),
    )
        .prop_map(
            |(
                (retry, retry_jitter, connected_event),
                (max_queue_bytes, max_memory, overflow),
                (max_channels, max_filter_values, max_connections),
                (write_timeout, max_age),
            )| Stream {
                retry,
                retry_jitter,
                connected_event,
                max_queue_bytes,
                max_memory,
                overflow,
                max_channels,
                max_filter_values,
                write_timeout,
                max_age,
                max_connections,
            },
        )
}

fn http() -> impl Strategy<Value = Http> {
    (
        (any::<bool>(), any::<bool>(), any::<u32>()),
        (span(), span(), bytes(), bytes()),
        (span(), of(span())),
        (any::<usize>(), of(any::<usize>())),
    )
        .prop_map(
            |(
                (http1, http2, max_concurrent_streams),
                (head_timeout, idle_timeout, max_head_bytes, max_body_bytes),
                (body_timeout, hsts),
                (max_batch_events, threads),
            )| Http {
                http1,
                http2,
                max_concurrent_streams,
                head_timeout,
                idle_timeout,
                body_timeout,
                hsts,
                max_head_bytes,
                max_body_bytes,
                max_batch_events,
                threads,
            },
        )
}

fn auth() -> impl Strategy<Value = Option<Auth>> {
    let rights = || vec(prop::sample::select(Right::ALL.to_vec()), 0..3);
    let token = (
        (text(), text(), vec(text(), 0..3), vec(text(), 0..3)),
        (rights(), of(text()), of(text())),
    )
        .prop_map(
            |((name, sha256, publish, subscribe), (manage, subject, expires))| StaticToken {
                name,
                sha256,
                publish,
                subscribe,
                manage,
                subject,
                expires,
            },
        );
    let anonymous = (vec(text(), 0..3), vec(text(), 0..3))
        .prop_map(|(publish, subscribe)| Anonymous { publish, subscribe });
    let cookie = text().prop_map(|name| Cookie { name });
    let certificate = (
        (text(), of(text()), of(text())),
        (vec(text(), 0..3), vec(text(), 0..3), rights()),
    )
        .prop_map(
            |((name, subject, san), (publish, subscribe, manage))| CertificateRule {
                name,
                subject,
                san,
                publish,
                subscribe,
                manage,
            },
        );
    of((
        (
            vec(token.boxed(), 0..3),
            vec(jwt().boxed(), 0..2),
            anonymous,
        ),
        (
            of(cookie),
            of(text()),
            of(forward().boxed()),
            vec(certificate.boxed(), 0..2),
        ),
    )
        .prop_map(
            |((tokens, jwt, anonymous), (cookie, query_parameter, forward, certificates))| Auth {
                tokens,
                jwt,
                certificates,
                cookie,
                query_parameter,
                forward,
                anonymous,
            },
        ))
    .boxed() // on the heap: a test's stack does not hold all of a document's strategies
}

fn forward() -> impl Strategy<Value = Forward> {
    (
        (text(), vec(text(), 0..3), of(text()), claims(), grant()),
        (span(), span(), span()),
        (any::<usize>(), any::<usize>()),
    )
        .prop_map(
            |(
                (url, headers, ca_file, claims, grant),
                (lifetime, timeout, cache),
                (cache_entries, concurrency),
            )| Forward {
                url,
                headers,
                claims,
                grant,
                lifetime,
                timeout,
                cache,
                cache_entries,
                concurrency,
                ca_file: ca_file.map(Into::into),
            },
        )
}

fn claims() -> impl Strategy<Value = Claims> {
    let claim_map = || prop::collection::btree_map(text(), text(), 0..3);
    (
        of(text()),
        of(text()),
        of(text()),
        text(),
        claim_map(),
        claim_map(),
    )
        .prop_map(
            |(publish, subscribe, manage, subject, attributes, filters)| Claims {
                publish,
                subscribe,
                manage,
                subject,
                attributes,
                filters,
            },
        )
}

fn grant() -> impl Strategy<Value = GrantTemplate> {
    let rights = vec(prop::sample::select(Right::ALL.to_vec()), 0..3);
    let only_with = prop::collection::btree_map(text(), vec(text(), 0..3), 0..3);
    (vec(text(), 0..3), vec(text(), 0..3), rights, only_with).prop_map(
        |(publish, subscribe, manage, only_with)| GrantTemplate {
            publish,
            subscribe,
            manage,
            only_with,
        },
    )
}

fn jwt() -> impl Strategy<Value = Jwt> {
    let expiry = prop::sample::select(vec![Expiry::Required, Expiry::Optional]);
    let algorithms = vec(prop::sample::select(Algorithm::ALL.to_vec()), 0..3);
    let key =
        (of(text()), of(text()), of(text()), of(text())).prop_map(|(id, secret, file, public)| {
            JwtKey {
                id,
                secret_file: secret.map(Into::into),
                public_key_file: file.map(Into::into),
                public_key: public,
            }
        });
    let jwks = (
        (of(text()), of(text()), of(text()), of(text())),
        (span(), span(), span()),
    )
        .prop_map(
            |((file, url, ca_file, token_file), (refresh, cooldown, timeout))| Jwks {
                file: file.map(Into::into),
                url,
                refresh,
                cooldown,
                timeout,
                ca_file: ca_file.map(Into::into),
                token_file: token_file.map(Into::into),
            },
        );
    (
        (text(), of(text()), vec(text(), 0..3), algorithms),
        (span(), expiry, vec(key, 0..3), of(jwks)),
        (claims(), grant()),
    )
        .prop_map(
            |(
                (name, issuer, audience, algorithms),
                (leeway, expiry, keys, jwks),
                (claims, grant),
            )| Jwt {
                name,
                issuer,
                audience,
                algorithms,
                leeway,
                expiry,
                keys,
                jwks,
                claims,
                grant,
            },
        )
}

fn process() -> impl Strategy<Value = (Logging, Heartbeat, Drain, Demo)> {
    let formats = prop::sample::select(vec![LogFormat::Text, LogFormat::Json]);
    let logging = (formats, text()).prop_map(|(format, level)| Logging { format, level });
    let kinds = prop::sample::select(vec![HeartbeatAs::Comment, HeartbeatAs::Event]);
    let heartbeat = (span(), kinds).prop_map(|(interval, r#as)| Heartbeat { interval, r#as });
    let drain = (span(), span(), span()).prop_map(|(propagation, window, timeout)| Drain {
        propagation,
        window,
        timeout,
    });
    let demo = (any::<bool>(), span(), text()).prop_map(|(enabled, interval, prefix)| Demo {
        enabled,
        interval,
        prefix,
    });
    (logging, heartbeat, drain, demo)
}

fn tcp() -> impl Strategy<Value = Tcp> {
    (span(), span()).prop_map(|(keep_alive, user_timeout)| Tcp {
        keep_alive,
        user_timeout,
    })
}

fn tickets() -> impl Strategy<Value = Tickets> {
    let bind = vec(
        prop::sample::select(vec![TicketBinding::Address, TicketBinding::UserAgent]),
        0..3,
    );
    (span(), span(), bind, any::<usize>()).prop_map(|(redeem_within, reopen_within, bind, max)| {
        Tickets {
            redeem_within,
            reopen_within,
            bind,
            max,
        }
    })
}

fn audit() -> impl Strategy<Value = Audit> {
    let targets = vec![AuditTarget::Log, AuditTarget::File, AuditTarget::Off];
    (prop::sample::select(targets), of(text())).prop_map(|(target, file)| Audit {
        target,
        file: file.map(Into::into),
    })
}

fn tls() -> impl Strategy<Value = Tls> {
    let versions = prop::sample::select(vec![TlsVersion::Tls12, TlsVersion::Tls13]);
    let asking = vec![ClientAuth::None, ClientAuth::Optional, ClientAuth::Required];
    (
        (text(), text(), of(text())),
        (versions, prop::sample::select(asking)),
        (span(), any::<usize>()),
    )
        .prop_map(
            |(
                (certificate, key, client_ca),
                (min_version, client_auth),
                (handshake_timeout, max_handshakes),
            )| Tls {
                certificate,
                key,
                min_version,
                client_auth,
                client_ca,
                handshake_timeout,
                max_handshakes,
            },
        )
}

prop_compose! {
    fn redis_credentials()(
        (username, password_file, password_variable) in (of(text()), of(text()), of(text())),
    ) -> RedisCredentials {
        RedisCredentials { username, password_file, password_variable }
    }
}

/// Boxed: so many strategies within one another would not fit a test's stack.
fn redis() -> BoxedStrategy<Redis> {
    let sentinel = (
        text(),
        vec(text(), 0..3),
        of(redis_credentials()),
        any::<u32>(),
    )
        .prop_map(|(service, nodes, credentials, database)| RedisSentinel {
            service,
            nodes,
            credentials,
            database,
        });
    let cluster = vec(text(), 0..3).prop_map(|nodes| RedisCluster { nodes });
    let files = (of(text()), of(text()), of(text()), of(text()));
    let tls = files.prop_map(|(ca, certificate, key, server_name)| RedisTls {
        ca,
        certificate,
        key,
        server_name,
    });
    (
        (of(text()), of(sentinel), of(cluster), text()),
        (
            of(redis_credentials()),
            of(tls),
            span(),
            span(),
            of(span()),
            of(any::<u32>()),
        ),
    )
        .prop_map(
            |(
                (url, sentinel, cluster, prefix),
                (
                    credentials,
                    tls,
                    connect_timeout,
                    command_timeout,
                    publish_window,
                    min_replicas_ack,
                ),
            )| Redis {
                url,
                sentinel,
                cluster,
                prefix,
                credentials,
                tls,
                connect_timeout,
                command_timeout,
                publish_window,
                min_replicas_ack,
            },
        )
        .boxed()
}

fn postgres() -> BoxedStrategy<Postgres> {
    let credentials = (text(), of(text()), of(text())).prop_map(
        |(username, password_file, password_variable)| PostgresCredentials {
            username,
            password_file,
            password_variable,
        },
    );
    let files = (of(text()), of(text()), of(text()), of(text()));
    let tls = files.prop_map(|(ca, certificate, key, server_name)| PostgresTls {
        ca,
        certificate,
        key,
        server_name,
    });
    (text(), of(text()), of(credentials), of(tls), span(), span())
        .prop_map(
            |(url, url_variable, credentials, tls, connect_timeout, command_timeout)| Postgres {
                url,
                url_variable,
                credentials,
                tls,
                connect_timeout,
                command_timeout,
            },
        )
        .boxed()
}

fn archive() -> BoxedStrategy<Archive> {
    (
        (postgres(), text(), vec(text(), 0..3)),
        (
            span(),
            span(),
            span(),
            any::<usize>(),
            any::<usize>(),
            any::<bool>(),
        ),
    )
        .prop_map(
            |(
                (postgres, schema, channels),
                (retention, table_span, interval, batch_events, readers, clients),
            )| Archive {
                postgres,
                schema,
                channels,
                clients,
                retention,
                table_span,
                interval,
                batch_events,
                readers,
            },
        )
        .boxed()
}

fn unix_socket() -> impl Strategy<Value = UnixSocket> {
    (text(), text()).prop_map(|(path, mode)| UnixSocket { path, mode })
}

fn traces() -> impl Strategy<Value = Traces> {
    let file = || of(text().prop_map(PathBuf::from));
    (of(text()), file(), file(), of(0.0..1.0), any::<usize>()).prop_map(
        |(endpoint, headers_file, ca_file, sample_ratio, max_queue)| Traces {
            endpoint,
            headers_file,
            ca_file,
            sample_ratio,
            max_queue,
        },
    )
}

prop_compose! {
    // boxed, since all of a configuration's strategies in one value overflow a test's stack
    fn config()(
        (listen, admin_listen, insecure_open) in (address(), address(), any::<bool>()),
        (environment, max_log_bytes, channels, routes) in (text(), bytes(), vec(rule(), 0..4), vec(routes::route(), 0..2).boxed()),
        ((data, retention, event, idempotency), redis, archive) in (log().boxed(), of(redis()), of(archive())),
        sources in vec(sources::source(), 0..3).boxed(),
        (logging, heartbeat, drain, demo) in process().boxed(),
        auth in auth().boxed(),
        (revocation_keep, revocation_max) in (span(), any::<usize>()),
        (tickets, audit) in (tickets().boxed(), audit().boxed()),
        (cors, proxies, limits) in (protection::cors().boxed(), protection::proxies().boxed(), protection::limits().boxed()),
        stream in stream().boxed(),
        http in http().boxed(),
        (tcp, tls) in (tcp().boxed(), of(tls()).boxed()),
        (traces, unix_sockets) in (of(traces()).boxed(), vec(unix_socket(), 0..3).boxed()),
    ) -> Config {
        Config {
            listen, unix_sockets, admin_listen, insecure_open, environment, logging, data, redis, archive, retention,
            revocations: Revocations { keep: revocation_keep, max: revocation_max }, tickets, audit,
            auth, cors, proxies, limits, max_log_bytes, channels, routes, sources, event, idempotency, heartbeat, stream, http, tcp, tls, traces, drain, demo,
        }
    }
}

proptest! {
    #[test]
    fn any_configuration_reads_back_from_its_yaml(config in config()) {
        let yaml = config.to_yaml();
        let (read, _) = read(Some(("x", &yaml)), &BTreeMap::new())
            .unwrap_or_else(|error| panic!("{error}\n{yaml}"));
        prop_assert_eq!(read, config, "{}", yaml);
    }

    #[test]
    fn no_text_panics(yaml in text()) {
        let _ = read(Some(("x", &yaml)), &BTreeMap::new());
    }
}

#[test]
fn the_defaults_are_valid_and_read_back_from_their_yaml() {
    let config = Config::default();
    assert_eq!(config.validate(), Ok(()));
    let yaml = config.to_yaml();
    assert_eq!(
        Config::from_sources(Some(("x", &yaml)), &BTreeMap::new()),
        Ok(config)
    );
}
