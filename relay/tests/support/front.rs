//! A real proxy in front of the relay, on a free loopback port, with a folder of its own.

use super::LIMIT;
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

pub struct Front {
    process: Child,
    pub address: SocketAddr,
    folder: TempDir,
}

impl Front {
    /// `prepare` writes what the program needs into the folder, and says how it is started to listen at
    /// the address.
    pub fn start(prepare: impl FnOnce(&Path, SocketAddr) -> Command) -> Front {
        let folder = TempDir::new().expect("a folder");
        let address = free_address();
        let mut command = prepare(folder.path(), address);
        let log = File::create(folder.path().join("output")).expect("a file for its output");
        let path = std::env::var("PATH").unwrap_or_default();
        let process = command
            // where Debian has servers, which not every PATH has
            .env("PATH", format!("{path}:/usr/sbin:/sbin"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("the file opens twice"))
            .stderr(log)
            .spawn()
            .expect("the proxy is installed: scripts/install-servers.sh does that");
        let mut front = Front {
            process,
            address,
            folder,
        };
        front.wait_until_it_listens();
        front
    }

    fn wait_until_it_listens(&mut self) {
        let started = Instant::now();
        while TcpStream::connect(self.address).is_err() {
            let ended = self.process.try_wait().expect("a child has a state");
            assert!(
                ended.is_none() && started.elapsed() < LIMIT,
                "it does not listen (ended: {ended:?}): {}",
                self.output()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn output(&self) -> String {
        fs::read_to_string(self.folder.path().join("output")).unwrap_or_default()
    }

    /// nginx with these servers in its section `http`; `{address}` and `{folder}` are filled in.
    pub fn nginx(servers: &str) -> Front {
        Front::start(|folder, address| {
            let path = folder.display();
            let configuration = format!(
                "daemon off; user root; worker_processes 1; pid {path}/pid; error_log stderr info;
                 events {{ worker_connections 512; }}
                 http {{
                   access_log off; client_body_temp_path {path}/body; proxy_temp_path {path}/proxy;
                   fastcgi_temp_path {path}/f; uwsgi_temp_path {path}/u; scgi_temp_path {path}/s;
                   {servers}
                 }}"
            );
            let configuration = configuration
                .replace("{address}", &address.to_string())
                .replace("{folder}", &path.to_string());
            let file = folder.join("nginx.conf");
            fs::write(&file, configuration).expect("a file for its configuration");
            let mut command = Command::new("nginx");
            command.arg("-p").arg(folder).arg("-c").arg(&file);
            command.args(["-e", "stderr"]);
            command
        })
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        // its workers end with it
        let _ = kill_process(Pid::from_child(&self.process), Signal::TERM);
        let _ = self.process.wait();
    }
}

/// A loopback address that nobody listens on.
pub fn free_address() -> SocketAddr {
    let [port] = super::ports::free(super::ports::SERVERS);
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}
