//! Peers that vanish: in a network of their own whose cable is pulled, and behind a proxy that goes
//! on as if they were there.

use std::{
    net::{Ipv4Addr, SocketAddr},
    process::{Child, Command, Stdio},
    sync::Arc,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{TcpListener, TcpStream},
    sync::Notify,
};

/// A network namespace, with a cable to this machine.
pub struct Island {
    name: String,
    /// This machine's end of the cable.
    pub shore: Ipv4Addr,
    programs: Vec<Child>,
}

impl Island {
    /// `None` where this process may not make networks.
    pub fn new() -> Option<Island> {
        let id = std::process::id();
        let name = format!("sr{id}");
        let [.., high, low] = id.to_be_bytes();
        // a net of four addresses out of 198.18.0.0/15, which is for tests of networks (RFC 2544)
        let shore = Ipv4Addr::new(198, 18, high, (low & !3) | 1);
        let beyond = Ipv4Addr::new(198, 18, high, (low & !3) | 2);
        if !ip(&format!("netns add {name}")) {
            return None;
        }
        let island = Island {
            name: name.clone(),
            shore,
            programs: Vec::new(),
        };
        let up = ip(&format!(
            "link add {name} type veth peer name cable netns {name}"
        )) && ip(&format!("address add {shore}/30 dev {name}"))
            && ip(&format!("link set {name} up"))
            && ip(&format!("-n {name} address add {beyond}/30 dev cable"))
            && ip(&format!("-n {name} link set cable up"));
        up.then_some(island)
    }

    /// A client there that streams with curl.
    pub fn stream(&mut self, url: &str) {
        let program = Command::new("ip")
            .args(["netns", "exec", &self.name, "curl", "-sN", url])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("ip runs");
        self.programs.push(program);
    }

    /// Nothing arrives from there or there any more, and nobody is told.
    pub fn pull_the_cable(&self) {
        assert!(ip(&format!("-n {} link set cable down", self.name)));
    }
}

impl Drop for Island {
    fn drop(&mut self) {
        for program in &mut self.programs {
            let _ = program.kill();
            let _ = program.wait();
        }
        ip(&format!("netns delete {}", self.name));
    }
}

fn ip(command: &str) -> bool {
    let ran = Command::new("ip")
        .args(command.split(' '))
        .stderr(Stdio::null())
        .status();
    ran.is_ok_and(|status| status.success())
}

/// What a proxy does with a stream whose client is gone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Proxy {
    /// It reads on, and throws away what it reads.
    Absorbs,
    /// It reads no more, and holds the connection.
    Holds,
}

impl Proxy {
    /// Starts one before a server, and says where it is. It treats its clients as gone from the
    /// notification on.
    pub async fn start(self, server: SocketAddr, gone: Arc<Notify>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(self.carry(client, server, gone.clone()));
            }
        });
        address
    }

    async fn carry(self, mut client: TcpStream, server: SocketAddr, gone: Arc<Notify>) {
        let mut server = TcpStream::connect(server).await.unwrap();
        let is_gone = gone.notified();
        tokio::select! {
            biased;
            () = is_gone => {}
            _ = tokio::io::copy_bidirectional(&mut client, &mut server) => return,
        }
        let _ = client.shutdown().await;
        if self == Proxy::Absorbs {
            let _ = copy(&mut server, &mut tokio::io::sink()).await;
            return;
        }
        // its own end of the connection: nothing is read until the server gives up
        let mut rest = Vec::new();
        gone.notified().await;
        let _ = server.read_to_end(&mut rest).await;
    }
}
