//! What a replica needs for the streams it is to serve.

use relay_config::ByteSize;

/// Memory of the process before any stream.
const BASE: u64 = 64 << 20;
/// Memory of one connection: the kernel's buffers, which count for the pod, and the relay's own.
/// Measured: about 5 KiB and 0.5 KiB when idle; the rest is for those that are not.
const PER_CONNECTION: u64 = 8 << 10;
/// Memory is asked for in these steps, so that small changes of a resource replace no pod.
const STEP: u64 = 16 << 20;

/// What a replica needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizing {
    /// Memory, as request and as limit.
    pub memory: ByteSize,
    /// Thousandths of a processor, as request.
    pub cpu_millis: u64,
    /// Connections that it takes: streams, and room for publishers.
    pub connections: u64,
}

impl Sizing {
    /// For so many streams, with such a log and so much that may wait for slow streams.
    #[must_use]
    pub fn of(max_streams: u64, log: ByteSize, queues: ByteSize) -> Self {
        let connections = max_streams + (max_streams / 10).max(100);
        let memory = BASE
            .saturating_add((log.get() / 4).saturating_mul(5))
            .saturating_add(queues.get())
            .saturating_add(connections * PER_CONNECTION);
        Self {
            memory: ByteSize(memory.div_ceil(STEP).saturating_mul(STEP)),
            cpu_millis: 100 + max_streams / 100,
            connections,
        }
    }

    /// Processor time as Kubernetes writes it.
    #[must_use]
    pub fn cpu(&self) -> String {
        if self.cpu_millis.is_multiple_of(1_000) {
            return (self.cpu_millis / 1_000).to_string();
        }
        format!("{}m", self.cpu_millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_grows_with_streams_log_and_queues() {
        let small = Sizing::of(1_000, ByteSize::from_mib(64), ByteSize::from_mib(64));
        assert_eq!(small.memory.to_string(), "224Mi");
        assert_eq!(small.connections, 1_100);
        assert_eq!(small.cpu(), "110m");
        let large = Sizing::of(90_000, ByteSize::from_mib(1_024), ByteSize::from_mib(256));
        assert_eq!(large.memory.to_string(), "2384Mi");
        assert_eq!(large.cpu(), "1");
    }

    #[test]
    fn absurd_sizes_do_not_overflow() {
        let most = ByteSize(u64::MAX);
        assert!(Sizing::of(1_000_000, most, most).memory.get() > 1 << 60);
    }
}
