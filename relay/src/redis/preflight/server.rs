//! What a server says of itself that would lose events. Pure.

use super::{Finding, warning};
use crate::redis::info::field;

/// Of the memory limit, in per cent: more is told.
const FULL: u64 = 80;

/// What `INFO` tells of the server. Pure.
pub(super) fn judge(info: &str) -> Vec<Finding> {
    let number = |name: &str| field(info, name).and_then(|value| value.parse::<u64>().ok());
    let mut findings = Vec::new();
    let (limit, used) = (
        number("maxmemory").unwrap_or(0),
        number("used_memory").unwrap_or(0),
    );
    let policy = field(info, "maxmemory_policy").unwrap_or("noeviction");
    if policy != "noeviction" {
        findings.push(warning("eviction", format!(
            "maxmemory-policy is {policy}: when memory is short, Redis throws parts of the log away \
             unasked. Set it to noeviction"
        )));
    }
    if limit == 0 {
        findings.push(warning("no-memory-limit",
            "maxmemory is not set: Redis grows until the machine kills it. Set it to about 70 % of \
             what the machine or container has".into()));
    } else if used.saturating_mul(100) / limit >= FULL {
        findings.push(warning("memory-short", format!(
            "{} % of maxmemory is used: past it nothing can be appended. Raise maxmemory, or keep \
             less (retention)", used.saturating_mul(100) / limit
        )));
    }
    if field(info, "aof_enabled") == Some("0") {
        findings.push(warning(
            "not-persistent",
            "appendonly is off: a restart of Redis goes back to its last snapshot or to nothing; \
             subscribers are told of the gap. Set appendonly yes"
                .into(),
        ));
    }
    for (name, what) in [
        ("aof_last_write_status", "appendonly file"),
        ("rdb_last_bgsave_status", "snapshot"),
    ] {
        if field(info, name).is_some_and(|status| status != "ok") {
            findings.push(warning(
                "disk",
                format!(
                    "Redis could not write its {what}: look at its log and the space on its disk"
                ),
            ));
        }
    }
    let replicas = number("connected_slaves").unwrap_or(0);
    if replicas > 0 && field(info, "min_slaves_good_slaves").is_none() {
        findings.push(warning("no-minimum-of-replicas",
            "min-replicas-to-write is not set: a primary that is cut off from its replicas goes on \
             to accept events that are thrown away when it comes back. Set min-replicas-to-write 1 \
             and min-replicas-max-lag 3".into()));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reasons(info: &str) -> Vec<&'static str> {
        judge(info).iter().map(|finding| finding.reason).collect()
    }

    #[test]
    fn a_server_as_it_should_be_gives_no_reason_to_warn() {
        let info = "maxmemory:1000\r\nused_memory:100\r\nmaxmemory_policy:noeviction\r\n\
                    aof_enabled:1\r\naof_last_write_status:ok\r\nconnected_slaves:1\r\n\
                    min_slaves_good_slaves:1\r\n";
        assert_eq!(reasons(info), [""; 0]);
    }

    #[test]
    fn everything_that_loses_events_is_told() {
        let info = "maxmemory:1000\r\nused_memory:900\r\nmaxmemory_policy:allkeys-lru\r\n\
                    aof_enabled:0\r\nrdb_last_bgsave_status:err\r\nconnected_slaves:2\r\n";
        let expected = [
            "eviction",
            "memory-short",
            "not-persistent",
            "disk",
            "no-minimum-of-replicas",
        ];
        assert_eq!(reasons(info), expected);
        assert_eq!(reasons("maxmemory:0\r\n"), ["no-memory-limit"]);
    }
}
