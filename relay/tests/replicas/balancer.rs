//! nginx in front of relays.

use crate::{servers::free_ports, support::LIMIT};
use std::{
    fs,
    net::{SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    time::Instant,
};
use tempfile::TempDir;

pub struct Balancer {
    process: Child,
    pub address: SocketAddr,
    _folder: TempDir,
}

impl Balancer {
    /// Deals connections out in turn; what cannot be reached is passed over.
    pub fn start(relays: &[SocketAddr]) -> Balancer {
        let folder = TempDir::new().unwrap();
        let path = folder.path().display();
        let [port] = free_ports();
        let servers: String = relays
            .iter()
            .map(|relay| format!("server {relay} max_fails=0; "))
            .collect();
        let configuration = format!(
            "daemon off; worker_processes 1; worker_rlimit_nofile 8192; pid {path}/pid; error_log {path}/log;
             events {{ worker_connections 8192; }}
             http {{
               access_log off; client_body_temp_path {path}/body; proxy_temp_path {path}/proxy;
               fastcgi_temp_path {path}/f; uwsgi_temp_path {path}/u; scgi_temp_path {path}/s;
               upstream relays {{ {servers} }}
               server {{
                 listen 127.0.0.1:{port};
                 location / {{
                   proxy_pass http://relays; proxy_http_version 1.1; proxy_buffering off;
                   proxy_set_header Connection ''; proxy_set_header Host $http_host; proxy_read_timeout 1h;
                   add_header X-Relay $upstream_addr;
                 }}
               }}
             }}"
        );
        let file = folder.path().join("nginx.conf");
        fs::write(&file, configuration).unwrap();
        let process = Command::new("nginx")
            .arg("-p")
            .arg(folder.path())
            .arg("-c")
            .arg(&file)
            .args(["-e", "stderr"])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nginx is installed: scripts/install-servers.sh does that");
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let started = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(started.elapsed() < LIMIT, "nginx does not answer");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        Balancer {
            process,
            address,
            _folder: folder,
        }
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        // its worker ends with it
        let pid = rustix::process::Pid::from_child(&self.process);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.process.wait();
    }
}
