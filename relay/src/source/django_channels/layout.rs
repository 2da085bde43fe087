//! Which keys a layer has, and at which of its hosts.

use relay_config::DjangoChannelsSource;

/// The keys that the relay reads and writes.
#[derive(PartialEq, Debug)]
pub struct Layout {
    pub mailbox: String,
    /// What is being handed over.
    pub in_flight: String,
    pub mailbox_host: usize,
    pub groups: Vec<Group>,
}

/// A group, and the relay's member of it.
#[derive(PartialEq, Debug)]
pub struct Group {
    pub name: String,
    pub key: String,
    pub host: usize,
    pub channel: String,
}

impl Layout {
    /// The names in Redis of the groups that the pub/sub layer publishes at a host, each with its group.
    pub fn published_at(settings: &DjangoChannelsSource, host: usize) -> Vec<(String, String)> {
        let names = settings.groups.iter().map(|group| {
            let name = format!("{}__group__{group}", settings.prefix);
            (name, group.clone())
        });
        names
            .filter(|(name, _)| host_of(name, settings.hosts.len()) == host)
            .collect()
    }

    pub fn of(settings: &DjangoChannelsSource) -> Layout {
        let (prefix, hosts) = (&settings.prefix, settings.hosts.len());
        let channel = format!("{}!", settings.mailbox);
        // no separator between the prefix and a mailbox
        let mailbox = format!("{prefix}{channel}");
        let group = |name: &String| Group {
            name: name.clone(),
            key: format!("{prefix}:group:{name}"),
            host: host_of(name, hosts),
            channel: format!("{channel}{name}"),
        };
        Layout {
            in_flight: format!("{mailbox}$inflight"),
            mailbox_host: host_of(&channel, hosts),
            mailbox,
            groups: settings.groups.iter().map(group).collect(),
        }
    }
}

/// Twelve bits of a CRC-32, shared out evenly.
fn host_of(name: &str, hosts: usize) -> usize {
    let place = (crc32fast::hash(name.as_bytes()) & 0xfff) as usize;
    place * hosts / 4096
}

#[cfg(test)]
mod tests {
    use super::*;
    use relay_config::SourceRedis;

    #[test]
    fn a_name_has_its_host_as_in_python() {
        // of channels_redis 4.3.0 for workflow_events, whose place is 0xd89
        let places = [1, 2, 3].map(|hosts| host_of("workflow_events", hosts));
        assert_eq!(places, [0, 1, 2]);
        assert!((1..64).all(|hosts| host_of("sse-relay!", hosts) < hosts));
    }

    #[test]
    fn a_group_is_published_where_python_publishes_it() {
        // of channels_redis 4.3.0 for asgi__group__workflow_events, whose place is 0x7c8
        for (hosts, wanted) in [(1, 0), (2, 0), (3, 1), (4, 1)] {
            let hosts = vec![SourceRedis::default(); hosts];
            let settings: DjangoChannelsSource = serde_json::from_value(
                serde_json::json!({"hosts": hosts, "groups": ["workflow_events"]}),
            )
            .unwrap();
            let found = (0..hosts.len())
                .filter(|host| !Layout::published_at(&settings, *host).is_empty())
                .collect::<Vec<_>>();
            assert_eq!(found, [wanted]);
            let (name, _) = &Layout::published_at(&settings, wanted)[0];
            assert_eq!(name, "asgi__group__workflow_events");
        }
    }

    #[test]
    fn keys_are_those_of_the_core_layer() {
        let settings: DjangoChannelsSource = serde_json::from_value(serde_json::json!({
            "hosts": [SourceRedis::default()], "groups": ["workflow_events"], "mailbox": "relay-a",
        }))
        .unwrap();
        let layout = Layout::of(&settings);
        assert_eq!(layout.mailbox, "asgirelay-a!");
        assert_eq!(layout.in_flight, "asgirelay-a!$inflight");
        assert_eq!(layout.groups[0].key, "asgi:group:workflow_events");
        assert_eq!(layout.groups[0].channel, "relay-a!workflow_events");
    }
}
