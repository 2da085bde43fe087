//! A primary with replicas, and Sentinels that watch them.

use super::{Server, free_ports, until};
use std::{
    fs,
    process::{Child, Command, Stdio},
};
use tempfile::TempDir;

/// What the Sentinels call the primary.
pub const SERVICE: &str = "live";
/// The password of the Sentinels.
pub const PASSWORD: &str = "sentinel";

/// A primary, two replicas and three Sentinels.
pub struct Sentinels {
    pub servers: Vec<Server>,
    processes: Vec<Child>,
    ports: Vec<u16>,
    _folder: TempDir,
}

impl Sentinels {
    pub fn start() -> Sentinels {
        Sentinels::start_with(&[])
    }

    /// Options are those of the servers.
    pub fn start_with(options: &[(&str, &str)]) -> Sentinels {
        let primary = Server::start_with(options);
        let of = format!("127.0.0.1 {}", primary.port);
        let mut options = options.to_vec();
        options.push(("replicaof", &of));
        let replicas = [Server::start_with(&options), Server::start_with(&options)];
        let folder = TempDir::new().expect("a directory for the Sentinels");
        let ports = free_ports::<3>();
        let start = |port: &u16| {
            let file = folder.path().join(format!("{port}.conf"));
            fs::write(&file, configuration(*port, primary.port)).expect("the file is written");
            Command::new("redis-sentinel")
                .arg(&file)
                .current_dir(folder.path())
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .spawn()
                .expect("redis-sentinel is installed: scripts/install-servers.sh does that")
        };
        let processes = ports.iter().map(start).collect();
        let mut servers = vec![primary];
        servers.extend(replicas);
        let sentinels = Sentinels {
            servers,
            processes,
            ports: ports.to_vec(),
            _folder: folder,
        };
        for port in ports {
            until("Sentinels that know each other and the replicas", || {
                let told = sentinels.ask(port, &["SENTINEL", "MASTER", SERVICE])?;
                let knows = |name: &str| {
                    let mut lines = told.lines().skip_while(|line| *line != name);
                    lines.nth(1)?.parse::<u32>().ok()
                };
                (knows("num-slaves")? == 2 && knows("num-other-sentinels")? == 2).then_some(())
            });
        }
        sentinels
    }

    /// As the configuration writes them.
    pub fn nodes(&self) -> Vec<String> {
        self.ports
            .iter()
            .map(|port| format!("127.0.0.1:{port}"))
            .collect()
    }

    /// The server that the first Sentinel calls the primary.
    pub fn primary(&self) -> &Server {
        let told = self.ask(
            self.ports[0],
            &["SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE],
        );
        let told = told.expect("the Sentinel answers");
        let port = told.lines().nth(1).and_then(|port| port.parse().ok());
        let server = self.servers.iter().find(|server| Some(server.port) == port);
        server.expect("it is one of ours")
    }

    /// A failover that nothing forces; returns when another server is the primary.
    pub fn fail_over(&self) {
        let before = self.primary().port;
        until("a failover", || {
            self.ask(self.ports[0], &["SENTINEL", "FAILOVER", SERVICE])
        });
        self.until_other_than(before);
    }

    pub fn until_other_than(&self, port: u16) {
        until("another primary", || {
            (self.primary().port != port).then_some(())
        });
    }

    /// The replicas get nothing more from the primary, which goes on: who is connected stays so, and
    /// nobody else is let in.
    pub fn cut_replicas(&self) {
        let primary = self.primary();
        primary.cli(&["CONFIG", "SET", "requirepass", "nobody"]);
        let all = ["-a", "nobody", "--no-auth-warning"];
        primary.cli(&[&all[..], &["CLIENT", "KILL", "TYPE", "replica"]].concat());
    }

    /// Neither the Sentinels nor the replicas reach the primary any more, which goes on for those who are
    /// connected to it; returns when another one is promoted.
    pub fn depose_primary(&self) -> &Server {
        let primary = self.primary();
        self.cut_replicas();
        let as_nobody = |command: &[&str]| {
            let login = ["-a", "nobody", "--no-auth-warning"];
            primary.cli(&[&login[..], command].concat())
        };
        let clients = as_nobody(&["CLIENT", "LIST"]);
        let sentinels = clients
            .lines()
            .filter(|line| line.contains("name=sentinel-"));
        for line in sentinels {
            let id = line.split(' ').find_map(|word| word.strip_prefix("id="));
            as_nobody(&["CLIENT", "KILL", "ID", id.expect("a client has an id")]);
        }
        self.until_other_than(primary.port);
        primary
    }

    /// Waits until the replicas have all that the primary has at this moment.
    pub fn until_in_step(&self) {
        let offset = |server: &Server, name: &str| {
            let info = server.try_cli(&["INFO", "replication"])?;
            let line = info.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().parse::<u64>().ok()
        };
        // another may be the primary by then
        until("replicas in step", || {
            let primary = self.primary();
            let at = offset(primary, "master_repl_offset:")?;
            let mut replicas = self
                .servers
                .iter()
                .filter(|server| server.port != primary.port);
            let in_step = |replica| offset(replica, "slave_repl_offset:") >= Some(at);
            replicas.all(in_step).then_some(())
        });
    }

    /// kill -9 of the primary; returns when another server is it.
    pub fn kill_primary(&mut self) {
        let port = self.primary().port;
        let primary = self.servers.iter_mut().find(|server| server.port == port);
        primary.expect("it is one of ours").kill();
        self.until_other_than(port);
    }

    fn ask(&self, port: u16, command: &[&str]) -> Option<String> {
        let output = Command::new("redis-cli")
            .args([
                "-p",
                &port.to_string(),
                "-e",
                "--no-auth-warning",
                "-a",
                PASSWORD,
            ])
            .args(command)
            .stdin(Stdio::null())
            .output()
            .expect("redis-cli is installed with redis-server");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        output.status.success().then_some(text)
    }
}

impl Drop for Sentinels {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

fn configuration(port: u16, primary: u16) -> String {
    format!(
        "port {port}\nbind 127.0.0.1\nrequirepass {PASSWORD}\nsentinel sentinel-pass {PASSWORD}\n\
         sentinel monitor {SERVICE} 127.0.0.1 {primary} 2\n\
         sentinel down-after-milliseconds {SERVICE} 1000\n\
         sentinel failover-timeout {SERVICE} 3000\n"
    )
}
