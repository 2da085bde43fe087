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

/// Two replicas on one imagined Redis, which adds up what each has told.
struct Shared {
    limits: [Arc<Limits>; 2],
    told: [std::collections::HashMap<String, sharing::Usage>; 2],
}

impl Shared {
    fn new(config: &relay_config::Limits) -> Shared {
        let limits = [(); 2].map(|()| Limits::new(config));
        limits.iter().for_each(|limits| limits.share_with(2));
        Shared {
            limits,
            told: Default::default(),
        }
    }

    /// One replica tells what it uses, and is told what all do.
    fn tell(&mut self, one: usize, which: reporting::Which, now: Moment) -> usize {
        let reports = self.limits[one].reports_at(which, now);
        let count = reports.len();
        let told = reports.into_iter().map(|report| {
            self.told[one].insert(report.account(), report.usage);
            let of = |other: usize| self.told[other].get(&report.account()).copied();
            let (a, b) = (of(0).unwrap_or_default(), of(1).unwrap_or_default());
            let all = sharing::Usage {
                streams: a.streams + b.streams,
                opens: a.opens + b.opens,
                publishes: a.publishes + b.publishes,
                bytes: a.bytes + b.bytes,
            };
            (report, all)
        });
        let told = told.collect();
        self.limits[one].learn(told);
        count
    }
}

#[test]
fn a_replica_gets_what_the_other_does_not_use_and_no_more_than_that() {
    let mut shared = Shared::new(&relay_config::Limits {
        per_subject: streams(6),
        ..relay_config::Limits::default()
    });
    let ann = somebody("ann", "a");
    let open = |shared: &Shared, one: usize| open(&shared.limits[one], &ann, "192.0.2.1");
    let mut permits: Vec<_> = (0..3).map(|_| open(&shared, 0).unwrap()).collect();
    assert_eq!(
        open(&shared, 0).unwrap_err(),
        Hit::SubjectStreams,
        "an even share"
    );
    // it has asked for more by then, and by and by it has all
    for _ in 0..4 {
        shared.tell(0, reporting::Which::Urgent, NOW);
        permits.extend(open(&shared, 0));
    }
    assert_eq!(permits.len(), 6);
    assert!(open(&shared, 0).is_err());
    // the other learns it with the first stream that it lets in
    let there = open(&shared, 1).unwrap();
    shared.tell(1, reporting::Which::All, NOW);
    assert!(open(&shared, 1).is_err());
    // what is given back is free for both
    permits.clear();
    shared.tell(0, reporting::Which::All, NOW);
    drop(there);
    shared.tell(1, reporting::Which::All, NOW);
    assert!(open(&shared, 1).is_ok());
}

#[test]
fn what_nobody_uses_any_more_is_told_once_and_then_forgotten() {
    let mut shared = Shared::new(&relay_config::Limits {
        per_subject: streams(6),
        max_tracked: 1,
        ..relay_config::Limits::default()
    });
    let (ann, bob) = (somebody("ann", "a"), somebody("bob", "b"));
    let permit = open(&shared.limits[0], &ann, "192.0.2.1").unwrap();
    shared.tell(0, reporting::Which::All, NOW);
    drop(permit);
    // her place is not given away before the others know
    let _bob = open(&shared.limits[0], &bob, "192.0.2.2").unwrap();
    assert_eq!(shared.limits[0].state.lock().subjects.owners().count(), 1);
    let all = reporting::Which::All;
    let later = |seconds| NOW + Duration::from_secs(seconds);
    assert_eq!(shared.tell(0, all, later(1)), 1);
    let told: Vec<_> = shared.told[0].values().collect();
    assert!(told.iter().all(|usage| usage.streams == 0), "{told:?}");
    let settled = (2..20).find(|second| shared.tell(0, all, later(*second)) == 0);
    assert!(settled.is_some());
    let _ = shared.limits[0]
        .open_at(&bob, at("192.0.2.2"), later(30))
        .unwrap();
    let mut state = shared.limits[0].state.lock();
    let names: Vec<_> = state
        .subjects
        .owners()
        .map(|(key, _)| key.clone())
        .collect();
    assert_eq!(names, [Key::Subject(Subject::parse("bob").unwrap())]);
}

#[test]
fn what_was_lost_is_told_again_and_everybodys_limit_is_of_one_replica() {
    let mut shared = Shared::new(&relay_config::Limits {
        total: streams(4),
        per_subject: streams(6),
        ..relay_config::Limits::default()
    });
    let ann = somebody("ann", "a");
    let _permit = open(&shared.limits[0], &ann, "192.0.2.1").unwrap();
    let all = reporting::Which::All;
    assert_eq!(shared.tell(0, all, NOW), 1, "not that of everybody");
    for second in 1..20 {
        shared.tell(0, all, NOW + Duration::from_secs(second));
    }
    shared.told[0].clear();
    assert_eq!(shared.tell(0, all, NOW + Duration::from_secs(20)), 0);
    shared.limits[0].tell_again();
    assert_eq!(shared.tell(0, all, NOW + Duration::from_secs(21)), 1);
    assert_eq!(shared.told[0].values().next().unwrap().streams, 1);
}
