//! Connections that begin with TLS: the handshake, the first request, and who serves them then.

use super::{Context, Io, Load, Remote, carry, unreadable};
use crate::{
    http::problem::{Kind, Problem},
    hub::shard::{
        Decision,
        head::{self, Parsed},
    },
    proxy_protocol::{Preface, Skipped, Source},
    stats::{HandshakeOutcome, Refusal},
    tls::{ServerTls, client_certificate::ClientCertificate},
};
use bytes::{Bytes, BytesMut};
use std::{net::SocketAddr, os::fd::OwnedFd, sync::Arc};
use tokio::{
    io::AsyncReadExt,
    net::TcpStream,
    time::{Instant, timeout_at},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// The first byte of TLS: a handshake record (RFC 8446, 5.1).
const HANDSHAKE: u8 = 22;

/// A connection whose first request has come, at least in part.
struct Opened<S> {
    io: TlsStream<S>,
    /// Who is at the other end, as a proxy says if there is one.
    peer: Option<SocketAddr>,
    bytes: Bytes,
    speaks: Speaks,
}

impl<S> Opened<S> {
    /// The one that the client has shown and that the handshake has verified.
    fn certificate(&self) -> Option<Arc<ClientCertificate>> {
        let leaf = self.io.get_ref().1.peer_certificates()?.first()?;
        ClientCertificate::read(leaf).map(Arc::new)
    }
}

/// What the two sides agreed on (RFC 7301).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Speaks {
    Http1,
    Http2,
}

impl Context {
    pub(super) async fn serve_secure(
        self,
        socket: OwnedFd,
        peer: Option<SocketAddr>,
        tls: Arc<ServerTls>,
    ) {
        let load = Load {
            context: Some(self.clone()),
        };
        let Some((wire, parting)) = self.wire(socket).await else {
            return;
        };
        let handshake = tls.handshakes.begin();
        let deadline = Instant::now() + tls.settings().handshake_timeout.std();
        let opened = tokio::select! {
            biased;
            () = handshake.displaced() => Err(HandshakeOutcome::Displaced),
            // on the heap: what it needs is far more than what the connection needs later
            opened = Box::pin(self.open(wire, peer, &tls, deadline)) => opened,
        };
        drop(handshake);
        let outcome = match &opened {
            Ok(_) => HandshakeOutcome::Completed,
            Err(outcome) => *outcome,
        };
        self.app.hub.stats.handshakes.of(outcome).add(1);
        if let Ok(opened) = opened {
            let remote = Remote {
                peer: opened.peer,
                certificate: opened.certificate(),
                parting,
            };
            Box::pin(self.serve_opened(opened, remote, load)).await;
        }
    }

    /// The handshake, and the first bytes after it. A handshake alone is no proof that anybody wants
    /// something.
    async fn open(
        &self,
        wire: super::Wire<TcpStream>,
        peer: Option<SocketAddr>,
        tls: &ServerTls,
        deadline: Instant,
    ) -> Result<Opened<super::Wire<TcpStream>>, HandshakeOutcome> {
        let peer = match timeout_at(deadline, self.announced(wire.get_ref(), peer)).await {
            Err(_) => return Err(HandshakeOutcome::Timeout),
            Ok(None) => {
                let refused = &self.app.hub.stats.refused;
                refused.of(Refusal::ProxyProtocol).add(1);
                return Err(HandshakeOutcome::Failed);
            }
            Ok(Some(peer)) => peer,
        };
        let mut first = [0];
        match timeout_at(deadline, wire.get_ref().peek(&mut first)).await {
            Err(_) => return Err(HandshakeOutcome::Timeout),
            Ok(Ok(1)) if first[0] == HANDSHAKE => {}
            Ok(Ok(1)) => {
                let _ = timeout_at(deadline, self.refuse(wire, plain(), &[])).await;
                return Err(HandshakeOutcome::Failed);
            }
            Ok(_) => return Err(HandshakeOutcome::Failed),
        }
        let accepting = TlsAcceptor::from(tls.config()).accept(wire);
        let mut io = match timeout_at(deadline, accepting).await {
            Err(_) => return Err(HandshakeOutcome::Timeout),
            Ok(Err(error)) => {
                tracing::debug!(event = "tls.failed", %error, "a handshake failed");
                return Err(HandshakeOutcome::Failed);
            }
            Ok(Ok(io)) => io,
        };
        let speaks = match io.get_ref().1.alpn_protocol() {
            Some(b"h2") => Speaks::Http2,
            _ => Speaks::Http1,
        };
        let deadline = Instant::now() + self.app.config().http.head_timeout.std();
        let bytes = timeout_at(deadline, self.first_bytes(&mut io, speaks)).await;
        match bytes {
            Err(_) => Err(HandshakeOutcome::Timeout),
            Ok(None) => Err(HandshakeOutcome::Failed),
            Ok(Some(bytes)) => Ok(Opened {
                io,
                peer,
                bytes,
                speaks,
            }),
        }
    }

    /// Who is at the other end, after what a proxy says about it; `None` if that is refused. Not a
    /// byte more than the header is read.
    async fn announced(
        &self,
        socket: &TcpStream,
        peer: Option<SocketAddr>,
    ) -> Option<Option<SocketAddr>> {
        let preface = self.app.settings().proxies.preface(peer)?;
        if preface == Preface::Absent {
            return Some(peer);
        }
        let (mut seen, mut buffer) = (Vec::new(), [0; 512]);
        loop {
            let n = socket.peek(&mut buffer).await.ok()?;
            let before = seen.len();
            seen.extend_from_slice(&buffer[..n]);
            let (take, found) = match preface.skip(&seen) {
                Skipped::Refused => return None,
                // all of it is part of the header
                Skipped::Partial => (n, None),
                Skipped::To(length, source) => (length.saturating_sub(before), Some(source)),
            };
            if n == 0 || (take > 0 && socket.try_read(&mut buffer[..take]).ok()? != take) {
                return None;
            }
            if let Some(source) = found {
                return Some(match source {
                    Some(Source::Address(client)) => Some(client),
                    Some(Source::Proxy) | None => peer,
                });
            }
        }
    }

    /// A whole head, or as much of it as may be; of HTTP/2, whatever comes. `None` at the end.
    async fn first_bytes(&self, io: &mut (impl Io + Sized), speaks: Speaks) -> Option<Bytes> {
        let max = self.app.config().http.max_head_bytes.as_usize();
        let mut bytes = BytesMut::new();
        loop {
            if io.read_buf(&mut bytes).await.ok()? == 0 {
                return None;
            }
            let done =
                speaks == Speaks::Http2 || !matches!(head::parse(&bytes, max), Parsed::Partial);
            if done {
                return Some(bytes.freeze());
            }
        }
    }

    async fn serve_opened<S: Io>(self, opened: Opened<S>, remote: Remote, load: Load) {
        let Opened {
            io, bytes, speaks, ..
        } = opened;
        let config = self.app.config();
        let http = &config.http;
        if speaks == Speaks::Http2 {
            return self.serve_http2(io, bytes, remote).await;
        }
        if !http.http1 {
            return self.refuse(io, super::version_is_off(), &bytes).await;
        }
        let max = http.max_head_bytes.as_usize();
        if let Some(problem) = unreadable(&bytes, max) {
            return self.refuse(io, problem, &bytes).await;
        }
        let decision = match head::parse(&bytes, max) {
            Parsed::Request { request, .. } => {
                self.decide(&request, remote.peer, remote.certificate.as_deref())
            }
            _ => Decision::HandOver,
        };
        let parting = remote.parting.clone();
        let taken = match decision {
            Decision::Open(opening) => Some((io, opening)),
            Decision::HandOver => Box::pin(self.serve_http1(io, bytes, remote)).await,
        };
        if let Some((io, opening)) = taken {
            // a task of its own, so that a quiet stream takes no more memory than it needs
            let inbox = self.app.hub.inbox(self.shard).clone();
            tokio::spawn(carry::carry(io, inbox, parting, opening, load));
        }
    }
}

fn plain() -> Problem {
    Problem::new(
        Kind::MalformedRequest,
        "this port speaks TLS; use https:// in the address",
    )
}
