//! A client that speaks TLS.

use super::authority::{Authority, Pair};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use std::{io, net::SocketAddr, sync::Arc};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// What a client trusts, shows and speaks.
#[derive(Clone)]
pub struct Secure {
    trusted: String,
    pair: Option<Pair>,
    pub protocols: Vec<&'static str>,
    pub versions: Vec<&'static rustls::SupportedProtocolVersion>,
}

impl Secure {
    pub fn new(authority: &Authority) -> Secure {
        Secure {
            trusted: authority.pem.clone(),
            pair: None,
            protocols: Vec::new(),
            versions: rustls::ALL_VERSIONS.to_vec(),
        }
    }

    pub fn with(mut self, pair: &Pair) -> Secure {
        self.pair = Some(pair.clone());
        self
    }

    pub fn speaking(mut self, protocol: &'static str) -> Secure {
        self.protocols = vec![protocol];
        self
    }

    fn config(&self) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        let trusted = CertificateDer::from_pem_slice(self.trusted.as_bytes()).unwrap();
        roots.add(trusted).unwrap();
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&self.versions)
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match &self.pair {
            None => builder.with_no_client_auth(),
            Some(pair) => builder
                .with_client_auth_cert(pair.chain(), pair.private_key())
                .unwrap(),
        };
        config.alpn_protocols = self
            .protocols
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
        config
    }

    pub async fn connect(&self, to: SocketAddr) -> io::Result<TlsStream<TcpStream>> {
        self.over(TcpStream::connect(to).await?).await
    }

    /// With a receive buffer so small that it fills soon.
    pub async fn connect_narrow(&self, to: SocketAddr) -> io::Result<TlsStream<TcpStream>> {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(4096)?;
        self.over(socket.connect(to).await?).await
    }

    pub async fn over(&self, socket: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(self.config()))
            .connect(name, socket)
            .await
    }
}
