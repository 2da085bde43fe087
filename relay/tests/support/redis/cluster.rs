//! A cluster of three primaries.

use super::{Server, free_ports, until};

/// Three primaries, and a replica of each where asked for.
pub struct Cluster {
    pub servers: Vec<Server>,
}

/// Whether primaries have replicas, and so can fail.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Replicas {
    None,
    OneEach,
}

impl Cluster {
    /// Primaries only.
    pub fn start() -> Cluster {
        Cluster::start_with(Replicas::None, "redis-server")
    }

    pub fn start_with(replicas: Replicas, program: &str) -> Cluster {
        let count = if replicas == Replicas::OneEach { 6 } else { 3 };
        let servers: Vec<_> = (0..count).map(|_| node(program)).collect();
        let cluster = Cluster { servers };
        let (first, last) = (&cluster.servers[0], 16_383);
        let edges = [0, 5_461, 10_923, last + 1];
        for (index, server) in cluster.servers.iter().enumerate() {
            let epoch = (index + 1).to_string();
            server.cli(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch]);
            if index < 3 {
                let (from, to) = (edges[index].to_string(), (edges[index + 1] - 1).to_string());
                server.cli(&["CLUSTER", "ADDSLOTSRANGE", &from, &to]);
            }
            let (port, bus) = (first.port.to_string(), bus(first));
            server.cli(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]);
        }
        cluster.until_known(count);
        for index in 3..count {
            let primary = cluster.id(index - 3);
            until("a replica", || {
                cluster.servers[index].try_cli(&["CLUSTER", "REPLICATE", &primary])
            });
        }
        cluster.until_whole(count - 3);
        cluster
    }

    /// As the configuration writes them.
    pub fn nodes(&self) -> Vec<String> {
        self.servers
            .iter()
            .map(|s| format!("127.0.0.1:{}", s.port))
            .collect()
    }

    /// Which of the servers serves a slot, as the first one that answers sees it.
    pub fn owner(&self, slot: u16) -> Option<usize> {
        let told = self
            .servers
            .iter()
            .find_map(|s| s.try_cli(&["CLUSTER", "SLOTS"]))?;
        let lines: Vec<_> = told.lines().collect();
        // Each part is two slots, then nodes of address, port, id and metadata.
        let mut starts = (0..lines.len().saturating_sub(3)).filter_map(|at| {
            let first: u16 = lines[at].parse().ok()?;
            let last: u16 = lines[at + 1].parse().ok()?;
            let host = lines[at + 2] == "127.0.0.1";
            (host && (first..=last).contains(&slot)).then(|| lines[at + 3])
        });
        let port: u16 = starts.next()?.parse().ok()?;
        self.servers.iter().position(|server| server.port == port)
    }

    /// Moves a slot with all its keys to another of the servers.
    pub fn move_slot(&self, slot: u16, to: usize) {
        let from = self.owner(slot).expect("the slot is served");
        let moved = self.begin_move(slot, to);
        self.finish_move(slot, from, to);
        assert!(moved, "the slot was elsewhere");
    }

    /// Moves the keys, but not the slot itself: nobody tells clients where it will be.
    pub fn begin_move(&self, slot: u16, to: usize) -> bool {
        let from = self.owner(slot).expect("the slot is served");
        let (source, target) = (&self.servers[from], &self.servers[to]);
        let text = slot.to_string();
        target.cli(&["CLUSTER", "SETSLOT", &text, "IMPORTING", &self.id(from)]);
        source.cli(&["CLUSTER", "SETSLOT", &text, "MIGRATING", &self.id(to)]);
        let port = target.port.to_string();
        loop {
            let keys = source.cli(&["CLUSTER", "GETKEYSINSLOT", &text, "100"]);
            let keys: Vec<_> = keys.lines().filter(|key| !key.is_empty()).collect();
            if keys.is_empty() {
                return from != to;
            }
            let mut command = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"];
            command.extend(keys);
            source.cli(&command);
        }
    }

    /// Tells the cluster where the slot is now, as `redis-cli` does: the new owner first.
    pub fn finish_move(&self, slot: u16, from: usize, to: usize) {
        let (text, id) = (slot.to_string(), self.id(to));
        let others = (0..3).filter(|index| *index != to && *index != from);
        for index in [to, from].into_iter().chain(others) {
            self.servers[index].cli(&["CLUSTER", "SETSLOT", &text, "NODE", &id]);
        }
    }

    fn id(&self, index: usize) -> String {
        self.servers[index].cli(&["CLUSTER", "MYID"])
    }

    fn until_known(&self, count: usize) {
        for server in &self.servers {
            until("nodes that know each other", || {
                let nodes = server.try_cli(&["CLUSTER", "NODES"])?;
                let known = nodes
                    .lines()
                    .filter(|line| !line.contains("handshake"))
                    .count();
                (known == count).then_some(())
            });
        }
    }

    fn until_whole(&self, replicas: usize) {
        for server in &self.servers {
            until("a whole cluster", || {
                let info = server.try_cli(&["CLUSTER", "INFO"])?;
                let nodes = server.try_cli(&["CLUSTER", "NODES"])?;
                let linked = nodes.lines().filter(|line| line.contains("slave")).count();
                (info.contains("cluster_state:ok") && linked == replicas).then_some(())
            });
        }
        for server in self.servers.iter().skip(3) {
            until("a replica in step", || {
                let info = server.try_cli(&["INFO", "replication"])?;
                info.contains("master_link_status:up").then_some(())
            });
        }
    }
}

fn node(program: &str) -> Server {
    let [bus] = free_ports();
    Server::start_program(
        program,
        &[
            ("cluster-enabled", "yes"),
            ("cluster-port", &bus.to_string()),
            ("cluster-node-timeout", "1000"),
            ("cluster-require-full-coverage", "no"),
            ("cluster-allow-replica-migration", "no"),
        ],
    )
}

fn bus(server: &Server) -> String {
    let port = server.cli(&["CONFIG", "GET", "cluster-port"]);
    port.lines()
        .nth(1)
        .expect("the server tells its bus")
        .to_owned()
}
