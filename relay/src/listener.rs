//! Sockets that wait for connections, and what the connections inherit from them.

use relay_config::Tcp;
use rustix::net::{
    AddressFamily, SocketFlags, SocketType, bind, listen, socket_with,
    sockopt::{
        set_socket_keepalive, set_socket_reuseaddr, set_tcp_keepcnt, set_tcp_keepidle,
        set_tcp_keepintvl, set_tcp_nodelay, set_tcp_user_timeout,
    },
};
use std::{
    net::{SocketAddr, TcpListener},
    os::fd::AsFd,
};

/// Connections that wait to be accepted: a reconnect storm should wait rather than be refused.
const BACKLOG: i32 = 16_384;
/// Questions to a silent peer that remain unanswered before it is given up, and how many of them fit
/// into the time after which the first is asked. `tcp.userTimeout`, when it is shorter, decides.
const PROBES: u32 = 3;

/// Listens; the socket does not block.
pub fn open(address: SocketAddr, tcp: &Tcp) -> rustix::io::Result<TcpListener> {
    let family = if address.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    set_socket_reuseaddr(&socket, true)?;
    notice_silence(&socket, tcp)?;
    bind(&socket, &address)?;
    listen(&socket, BACKLOG)?;
    Ok(TcpListener::from(socket))
}

/// What is set on a listener holds for all that it accepts: on Linux a connection begins as a copy of
/// it. So it costs no call per connection.
fn notice_silence(socket: impl AsFd, tcp: &Tcp) -> rustix::io::Result<()> {
    let idle = tcp.keep_alive.std();
    set_tcp_nodelay(&socket, true)?;
    set_socket_keepalive(&socket, true)?;
    set_tcp_keepidle(&socket, idle)?;
    set_tcp_keepintvl(
        &socket,
        (idle / PROBES).max(std::time::Duration::from_secs(1)),
    )?;
    set_tcp_keepcnt(&socket, PROBES)?;
    let millis = u32::try_from(tcp.user_timeout.as_millis()).unwrap_or(u32::MAX);
    set_tcp_user_timeout(&socket, millis)
}

#[cfg(test)]
mod tests {
    use super::*;
    use relay_config::Timespan;
    use rustix::net::sockopt;
    use std::{net::TcpStream, time::Duration};

    #[test]
    fn accepted_connections_notice_a_silent_peer_as_configured() {
        let tcp = Tcp {
            keep_alive: Timespan::from_secs(21),
            user_timeout: Timespan::from_millis(43_500),
        };
        let listener = open("127.0.0.1:0".parse().unwrap(), &tcp).unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        listener.set_nonblocking(false).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        assert!(sockopt::tcp_nodelay(&accepted).unwrap());
        assert!(sockopt::socket_keepalive(&accepted).unwrap());
        let seconds = Duration::from_secs;
        assert_eq!(sockopt::tcp_keepidle(&accepted).unwrap(), seconds(21));
        assert_eq!(sockopt::tcp_keepintvl(&accepted).unwrap(), seconds(7));
        assert_eq!(sockopt::tcp_keepcnt(&accepted).unwrap(), 3);
        assert_eq!(sockopt::tcp_user_timeout(&accepted).unwrap(), 43_500);
    }
}
