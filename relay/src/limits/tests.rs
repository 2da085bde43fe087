//! Limits as a whole, at times that the tests choose.

use super::*;
use crate::grant::Grant;
use relay_config::{AttributeLimit, ByteSize};

const NOW: Moment = Duration::from_secs(100);

fn somebody(subject: &str, team: &str) -> Identity {
    let mut grant = Grant {
        subject: Subject::parse(subject).ok(),
        ..Grant::default()
    };
    grant.attributes.insert("team".into(), team.into());
    Identity {
        grant: Arc::new(grant),
        from: Evidence::Anonymous,
    }
}

fn at(address: &str) -> Option<ClientAddress> {
    Some(ClientAddress::new(address.parse().unwrap(), None))
}

fn streams(count: u32) -> Limit {
    Limit {
        streams: Some(count),
        ..Limit::default()
    }
}

fn open(limits: &Arc<Limits>, who: &Identity, address: &str) -> Result<Option<Arc<Permit>>, Hit> {
    let opened = limits.open_at(who, at(address), NOW);
    opened.map_err(|exceeded| exceeded.hit())
}

#[test]
fn streams_are_counted_for_each_and_given_back() {
    let limits = Limits::new(&relay_config::Limits {
        total: streams(4),
        per_subject: streams(2),
        per_address: streams(3),
        ..relay_config::Limits::default()
    });
    let (ann, bob) = (somebody("ann", "a"), somebody("bob", "b"));
    let first = open(&limits, &ann, "192.0.2.1").unwrap();
    let _second = open(&limits, &ann, "192.0.2.2").unwrap();
    assert_eq!(
        open(&limits, &ann, "192.0.2.3").unwrap_err(),
        Hit::SubjectStreams
    );
    drop(first);
    let _third = open(&limits, &ann, "192.0.2.2").unwrap();
    let _fourth = open(&limits, &bob, "192.0.2.2").unwrap();
    assert_eq!(
        open(&limits, &bob, "192.0.2.2").unwrap_err(),
        Hit::AddressStreams
    );
    let fifth = open(&limits, &bob, "192.0.2.9").unwrap();
    let carl = somebody("carl", "c");
    assert_eq!(
        open(&limits, &carl, "192.0.2.7").unwrap_err(),
        Hit::TotalStreams
    );
    drop(fifth);
    assert!(open(&limits, &carl, "192.0.2.7").is_ok());
}

#[test]
fn addresses_of_one_network_are_one() {
    let limits = Limits::new(&relay_config::Limits {
        per_address: streams(1),
        ..relay_config::Limits::default()
    });
    let ann = somebody("ann", "a");
    let _held = [
        open(&limits, &ann, "192.0.2.1").unwrap(),
        open(&limits, &ann, "192.0.2.2").unwrap(),
        open(&limits, &ann, "2001:db8:0:1::1").unwrap(),
        open(&limits, &ann, "2001:db8:0:2::1").unwrap(),
    ];
    for taken in ["192.0.2.1", "::ffff:192.0.2.2", "2001:db8:0:1:ffff::2"] {
        assert_eq!(open(&limits, &ann, taken).unwrap_err(), Hit::AddressStreams);
    }
}

#[test]
fn a_group_shares_what_it_has_and_another_does_not_notice() {
    let limits = Limits::new(&relay_config::Limits {
        per_attribute: vec![AttributeLimit {
            attribute: "team".to_owned(),
            streams: Some(1),
            publishes_per_second: Some(1),
            ..AttributeLimit::default()
        }],
        burst: relay_config::Timespan::from_secs(1),
        ..relay_config::Limits::default()
    });
    let _held = open(&limits, &somebody("ann", "red"), "192.0.2.1").unwrap();
    let bob = somebody("bob", "red");
    assert_eq!(
        open(&limits, &bob, "192.0.2.2").unwrap_err(),
        Hit::AttributeStreams
    );
    let carl = somebody("carl", "blue");
    assert!(open(&limits, &carl, "192.0.2.3").is_ok());
    let publish = |who: &Identity| {
        let published = limits.publish_at(who, None, 10, NOW);
        published.map(|_| ()).map_err(|exceeded| exceeded.hit())
    };
    assert_eq!(publish(&bob), Ok(()));
    assert_eq!(publish(&bob), Err(Hit::AttributePublishes));
    assert_eq!(publish(&carl), Ok(()));
}

#[test]
fn what_is_refused_costs_nobody_anything() {
    let limits = Limits::new(&relay_config::Limits {
        total: Limit {
            opens_per_second: Some(2),
            ..Limit::default()
        },
        per_subject: streams(1),
        burst: relay_config::Timespan::from_secs(1),
        ..relay_config::Limits::default()
    });
    let ann = somebody("ann", "a");
    let _held = open(&limits, &ann, "192.0.2.1").unwrap();
    for _ in 0..100 {
        assert_eq!(
            open(&limits, &ann, "192.0.2.1").unwrap_err(),
            Hit::SubjectStreams
        );
    }
    let bob = open(&limits, &somebody("bob", "b"), "192.0.2.2");
    assert!(bob.is_ok(), "ann's attempts took nothing");
}

#[test]
fn bytes_and_events_of_a_batch_are_charged_when_they_are_known() {
    let limits = Limits::new(&relay_config::Limits {
        per_subject: Limit {
            publishes_per_second: Some(10),
            publish_bytes_per_second: Some(ByteSize::from_kib(1)),
            ..Limit::default()
        },
        burst: relay_config::Timespan::from_secs(1),
        ..relay_config::Limits::default()
    });
    let publish = |who: &str, bytes| {
        let published = limits.publish_at(&somebody(who, "a"), None, bytes, NOW);
        published.map_err(|exceeded| (exceeded.hit(), exceeded.retry_after_seconds()))
    };
    let ann = publish("ann", 100).unwrap();
    limits.charge_at(&ann, 99, 0, NOW);
    assert_eq!(publish("ann", 0).unwrap_err(), (Hit::SubjectPublishes, 10));
    publish("bob", 2048).unwrap();
    assert_eq!(publish("bob", 1).unwrap_err().0, Hit::SubjectBytes);
}

#[test]
fn a_new_configuration_holds_for_newcomers_and_forgets_nothing() {
    let config = |count| relay_config::Limits {
        per_subject: streams(count),
        ..relay_config::Limits::default()
    };
    let limits = Limits::new(&config(3));
    let ann = somebody("ann", "a");
    let held: Vec<_> = (0..3)
        .map(|_| open(&limits, &ann, "192.0.2.1").unwrap())
        .collect();
    limits.configure(&config(2));
    assert_eq!(
        open(&limits, &ann, "192.0.2.1").unwrap_err(),
        Hit::SubjectStreams
    );
    limits.configure(&config(4));
    assert!(open(&limits, &ann, "192.0.2.1").is_ok());
    drop(held);
    limits.configure(&config(1));
    assert!(open(&limits, &ann, "192.0.2.1").is_ok());
}

#[test]
fn a_token_without_a_subject_counts_by_its_name() {
    let limits = Limits::new(&relay_config::Limits {
        per_subject: streams(1),
        ..relay_config::Limits::default()
    });
    let token = |name: &str| Identity {
        grant: Arc::default(),
        from: Evidence::Token(name.into()),
    };
    let _held = open(&limits, &token("page"), "192.0.2.1").unwrap();
    assert_eq!(
        open(&limits, &token("page"), "192.0.2.2").unwrap_err(),
        Hit::SubjectStreams
    );
    assert!(open(&limits, &token("app"), "192.0.2.2").is_ok());
}

#[test]
fn without_limits_nothing_is_kept() {
    let limits = Limits::new(&relay_config::Limits::default());
    let opened = limits.open(&somebody("ann", "a"), at("192.0.2.1"));
    assert!(opened.unwrap().is_none());
}

#[test]
fn strangers_beyond_the_places_there_are_share_one() {
    let limits = Limits::new(&relay_config::Limits {
        per_address: streams(1),
        max_tracked: 1,
        ..relay_config::Limits::default()
    });
    let ann = somebody("ann", "a");
    let known = open(&limits, &ann, "192.0.2.1").unwrap();
    let shared = open(&limits, &ann, "192.0.2.2").unwrap();
    assert_eq!(
        open(&limits, &ann, "192.0.2.3").unwrap_err(),
        Hit::AddressStreams
    );
    drop(shared);
    let _shared = open(&limits, &ann, "192.0.2.3").unwrap();
    drop(known);
    assert!(
        open(&limits, &ann, "192.0.2.4").is_ok(),
        "the place of the first"
    );
}
