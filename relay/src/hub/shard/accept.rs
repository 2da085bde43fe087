//! New connections, and their first request.

use super::{
    Command, Connection, Decision, First, Head, Shard,
    head::{self, Parsed},
    listener_token,
    poller::{ACCEPT, READ_WRITE, Token},
};
use crate::{
    label::Label,
    proxy_protocol::{Preface, Skipped, Source},
    stats::Refusal,
};
use bytes::Bytes;
use rustix::{
    io::Errno,
    net::{AddressFamily, RecvFlags, SocketFlags, recv},
};
use std::{
    collections::VecDeque,
    fs::File,
    io,
    net::SocketAddr,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::atomic::Ordering,
    time::Instant,
};

/// Connections accepted in one go, so that a storm does not hold up delivery.
const ACCEPTS: usize = 64;
/// Connections that may wait to be accepted when the listener closes; the kernel holds no more for us.
const MAX_WAITING: usize = 16_384;

/// Whether connections may still wait to be accepted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    All,
    Some,
}

pub struct Listener {
    socket: OwnedFd,
    /// Given up for a moment when no descriptor is left, to tell the client so.
    reserve: Option<File>,
    /// Connections wait that could be neither accepted nor told so; the next tick tries again.
    stuck: bool,
}

impl Listener {
    /// Of a socket that does not block.
    pub fn new(socket: OwnedFd) -> io::Result<Listener> {
        Ok(Listener {
            socket,
            reserve: Some(File::open("/dev/null")?),
            stuck: false,
        })
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// An answer for a connection that is turned away unread: nobody knows yet whether it is a browser.
const OVERLOADED: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\n\
    retry-after: 5\r\nconnection: close\r\ncontent-length: 126\r\n\r\n\
    {\"type\":\"urn:sse-relay:problem:overloaded\",\"title\":\"too many connections\",\"status\":503,\
    \"detail\":\"Try again in a few seconds.\"}";

/// What who began a request and did not go on is told.
const LATE: &[u8] = b"HTTP/1.1 408 Request Timeout\r\ncontent-type: application/problem+json\r\n\
    connection: close\r\ncontent-length: 117\r\n\r\n\
    {\"type\":\"about:blank\",\"title\":\"Request Timeout\",\"status\":408,\"detail\":\"the head of the request did not come in time\"}";

impl Shard {
    /// From one of the listeners.
    pub(super) fn accept(&mut self, which: usize) -> Accepted {
        for _ in 0..ACCEPTS {
            let Some(listener) = self.listeners.get(which) else {
                return Accepted::All;
            };
            match rustix::net::accept_with(
                &listener.socket,
                SocketFlags::NONBLOCK | SocketFlags::CLOEXEC,
            ) {
                Ok(socket) => self.deal(socket),
                Err(Errno::AGAIN) => return Accepted::All,
                Err(Errno::MFILE | Errno::NFILE) if self.turn_one_away(which) => {}
                Err(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOBUFS) => {
                    self.accept_later(which);
                    return Accepted::Some;
                }
                // the peer gave up, or the network did: not the listener's end
                Err(_) => {}
            }
        }
        self.accept_soon(which);
        Accepted::Some
    }

    /// After what else there is to do: more may wait than one go accepts.
    fn accept_soon(&mut self, which: usize) {
        if let Some(listener) = self.listeners.get(which)
            && self
                .poller
                .again(listener, listener_token(which), ACCEPT)
                .is_err()
        {
            self.accept_later(which);
        }
    }

    /// At the next tick: nothing can be done now.
    fn accept_later(&mut self, which: usize) {
        if let Some(listener) = self.listeners.get_mut(which) {
            listener.stuck = true;
        }
    }

    /// Tries again where nothing could be done.
    fn accept_stuck(&mut self) {
        for which in 0..self.listeners.len() {
            if std::mem::take(&mut self.listeners[which].stuck) {
                self.accept(which);
            }
        }
    }

    /// Gives a new connection to the shard with the fewest.
    fn deal(&mut self, socket: OwnedFd) {
        let room = self.shared.hub.room(&self.shared.config);
        if self.shared.hub.connections() >= room.connections {
            self.refuse(&socket, Refusal::Limit);
            return self.tell_full(Refusal::Limit);
        }
        let shard = self.shared.hub.least_loaded();
        self.shared.hub.load(shard).fetch_add(1, Ordering::Relaxed);
        if shard == self.index {
            self.accepted(socket);
        } else {
            self.shared.hub.inbox(shard).send(Command::Accepted(socket));
        }
    }

    fn refused(&self, why: Refusal) {
        self.shared.hub.stats.refused.of(why).add(1);
    }

    fn refuse(&mut self, socket: &OwnedFd, why: Refusal) {
        self.refused(why);
        if self.edge.first == First::HandOver {
            return; // nobody there reads plain text
        }
        // closing a socket with unread bytes is a reset, which can overtake the answer
        let _ = recv(socket, &mut self.buffer[..], RecvFlags::DONTWAIT);
        let _ = rustix::net::send(socket, OVERLOADED, rustix::net::SendFlags::NOSIGNAL);
    }

    /// Tells one client that no descriptor is left; false if not even that is possible.
    fn turn_one_away(&mut self, which: usize) -> bool {
        let Some(listener) = self.listeners.get_mut(which) else {
            return false;
        };
        listener.reserve = None;
        let refused = rustix::net::accept_with(
            &listener.socket,
            SocketFlags::NONBLOCK | SocketFlags::CLOEXEC,
        )
        .ok();
        let told = refused.is_some();
        if let Some(socket) = refused {
            self.refuse(&socket, Refusal::Descriptors);
        }
        if let Some(listener) = self.listeners.get_mut(which) {
            listener.reserve = File::open("/dev/null").ok();
        }
        self.tell_full(Refusal::Descriptors);
        told
    }

    fn tell_full(&mut self, why: Refusal) {
        if self.log_budget.allows(self.now) {
            tracing::error!(
                event = "connections.refused",
                reason = why.label(),
                "there are as many connections as there may be: new ones are turned away, open streams go on; raise the \
                 limit of open files (ulimit -n), or stream.maxConnections if it is set"
            );
        }
    }

    /// A connection that this shard owns from now on; its load is already counted.
    pub(super) fn accepted(&mut self, socket: OwnedFd) {
        let peer = match peer(&socket) {
            Peer::Address(address) => Some(address),
            Peer::Unix => None,
            Peer::Gone => return self.count_out(),
        };
        if self.edge.first == First::HandOver && peer.is_some() {
            return (self.edge.hand_over)(socket, Bytes::new(), peer);
        }
        let Some(preface) = (self.edge.preface)(peer) else {
            self.refused(Refusal::ProxyProtocol);
            return self.count_out();
        };
        let deadline = self.now + self.shared.config.http.head_timeout.std();
        let head = Head {
            socket,
            peer,
            preface,
            bytes: Vec::new(),
            deadline,
        };
        let (index, token) = self.insert(Connection::Head(Box::new(head)));
        self.ticker.heads.push_back((deadline, token));
        let Connection::Head(head) = &self.slots[index as usize].connection else {
            return;
        };
        // reports at once what has come already
        if self.poller.add(&head.socket, token, READ_WRITE).is_err() {
            self.drop_head(index);
        }
    }

    /// Forgets a connection without a request.
    pub(super) fn drop_head(&mut self, index: u32) {
        if let Connection::Head(_) = self.slots[index as usize].connection {
            self.slots.remove(index as usize);
            self.count_out();
        }
    }

    /// Closes connections that never said anything.
    pub(super) fn drop_silent_heads(&mut self) {
        let silent: Vec<u32> = self
            .slots
            .iter()
            .filter(|(_, slot)| matches!(&slot.connection, Connection::Head(head) if head.bytes.is_empty()))
            .map(|(index, _)| index as u32)
            .collect();
        silent.into_iter().for_each(|index| self.drop_head(index));
    }

    /// Reads into the shard's one buffer; bytes are kept per connection only if a head comes in pieces.
    pub(super) fn read_head(&mut self, index: u32) {
        let max = self.shared.config.http.max_head_bytes.as_usize();
        loop {
            let Connection::Head(head) = &mut self.slots[index as usize].connection else {
                return;
            };
            let received =
                recv(&head.socket, &mut self.buffer[..], RecvFlags::DONTWAIT).map(|(_, n)| n);
            let n = match received {
                Ok(0) => return self.drop_head(index),
                Ok(n) => n,
                Err(Errno::AGAIN) => return,
                Err(Errno::INTR) => continue,
                Err(_) => return self.drop_head(index),
            };
            let mut whole = std::mem::take(&mut head.bytes);
            let mut bytes = if whole.is_empty() {
                &self.buffer[..n]
            } else {
                whole.extend_from_slice(&self.buffer[..n]);
                &whole[..]
            };
            match head.preface.skip(bytes) {
                Skipped::Partial => {
                    head.bytes = bytes.to_vec();
                    continue;
                }
                Skipped::Refused => {
                    self.refused(Refusal::ProxyProtocol);
                    return self.drop_head(index);
                }
                Skipped::To(begin, source) => {
                    head.preface = Preface::Absent;
                    if let Some(Source::Address(client)) = source {
                        head.peer = Some(client);
                    }
                    bytes = &bytes[begin..];
                }
            }
            if bytes.is_empty() {
                continue;
            }
            let peer = head.peer;
            let decision = match head::parse(bytes, max) {
                Parsed::Partial => None,
                Parsed::Request { request, .. } => Some((self.edge.decide)(&request, peer)),
                Parsed::TooLarge | Parsed::Foreign => Some(Decision::HandOver),
            };
            match decision {
                None => {
                    let bytes = bytes.to_vec();
                    if let Connection::Head(head) = &mut self.slots[index as usize].connection {
                        head.bytes = bytes;
                    }
                }
                Some(Decision::HandOver) => {
                    let bytes = Bytes::copy_from_slice(bytes);
                    return self.hand_over(index, bytes);
                }
                Some(Decision::Open(opening)) => return self.open_socket(index, *opening),
            }
        }
    }

    /// Hyper gets the socket and what was read; it answers errors too. The load stays counted, and
    /// whoever serves the connection gives it back.
    fn hand_over(&mut self, index: u32, bytes: Bytes) {
        let slot = self.slots.remove(index as usize);
        let Connection::Head(head) = slot.connection else {
            return;
        };
        if self.poller.remove(&head.socket).is_ok() {
            (self.edge.hand_over)(head.socket, bytes, head.peer);
        } else {
            self.count_out();
        }
    }

    /// Connections whose request did not come in time; their descriptors serve who waits.
    pub(super) fn expire_heads(&mut self) {
        self.drop_late_heads();
        self.accept_stuck();
    }

    fn drop_late_heads(&mut self) {
        while let Some((deadline, token)) = self.ticker.heads.front().copied()
            && deadline <= self.now
        {
            self.ticker.heads.pop_front();
            if let Some(index) = self.slot_of(token)
                && let Connection::Head(head) = &self.slots[index as usize].connection
            {
                if !head.bytes.is_empty() {
                    let _ = rustix::net::send(&head.socket, LATE, rustix::net::SendFlags::NOSIGNAL);
                }
                self.shared
                    .hub
                    .stats
                    .refused
                    .of(Refusal::HeadTimeout)
                    .add(1);
                self.drop_head(index);
            }
        }
    }

    /// No new connections; the listener's port is free at once. Those that wait to be accepted are
    /// still answered, since closing the listener would reset them.
    pub(super) fn stop_accepting(&mut self) {
        for which in 0..self.listeners.len() {
            for _ in 0..MAX_WAITING / ACCEPTS {
                if self.accept(which) == Accepted::All {
                    break;
                }
            }
        }
        for listener in std::mem::take(&mut self.listeners) {
            let _ = self.poller.remove(&listener);
        }
    }
}

/// Who is at the other end of a connection.
enum Peer {
    Address(SocketAddr),
    /// A process of this machine, which has no address.
    Unix,
    /// It went away before anybody asked.
    Gone,
}

fn peer(socket: &OwnedFd) -> Peer {
    match rustix::net::getpeername(socket) {
        Ok(Some(address)) if address.address_family() == AddressFamily::UNIX => Peer::Unix,
        Ok(Some(address)) => SocketAddr::try_from(address).map_or(Peer::Gone, Peer::Address),
        Ok(None) | Err(_) => Peer::Gone,
    }
}

/// Heads in the order of their deadlines, since all have the same time.
pub type Heads = VecDeque<(Instant, Token)>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_to_a_refused_connection_is_whole_http() {
        let text = std::str::from_utf8(OVERLOADED).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(
            head.contains(&format!("content-length: {}", body.len())),
            "{}",
            body.len()
        );
        serde_json::from_str::<serde_json::Value>(body).unwrap();
    }
}
