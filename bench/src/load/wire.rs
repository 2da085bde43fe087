//! What a stream's bytes are wrapped in: nothing, TLS, or frames of HTTP/2.

use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::sync::{Arc, OnceLock};

use rustix::net::{self, RecvFlags, SendFlags};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme};

use super::http2;
use super::subscribers::Wire;

/// One connection's wrapping.
pub enum Wrapping {
    Plain,
    Tls(Box<ClientConnection>),
    Http2(http2::Client),
}

/// A socket as `Read` and `Write`, for rustls.
struct Bare<'a>(&'a OwnedFd);

impl io::Read for Bare<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(net::recv(self.0, buffer, RecvFlags::empty())?.1)
    }
}

impl io::Write for Bare<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(net::send(self.0, bytes, SendFlags::NOSIGNAL)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Wrapping {
    #[must_use]
    pub fn new(wire: Wire) -> Self {
        match wire {
            Wire::Plain => Wrapping::Plain,
            Wire::Tls => Wrapping::Tls(Box::new(tls())),
            Wire::Http2 => Wrapping::Http2(http2::Client::default()),
        }
    }

    /// Sends a first request: on a fresh socket, whose buffer holds far more than that.
    pub fn request(
        &mut self,
        socket: &OwnedFd,
        host: &str,
        target: &str,
        headers: &[(&str, &str)],
    ) -> io::Result<()> {
        match self {
            Wrapping::Http2(_) => send_all(socket, &http2::request(host, target, headers)),
            Wrapping::Plain => send_all(socket, &text(host, target, headers)),
            Wrapping::Tls(connection) => {
                // it waits inside until the handshake is done
                connection
                    .writer()
                    .write_all(&text(host, target, headers))?;
                flush(connection, socket)
            }
        }
    }

    /// Reads once and gives what that held of the response. `UnexpectedEof` is the connection's end.
    pub fn read(
        &mut self,
        socket: &OwnedFd,
        buffer: &mut [u8],
        mut take: impl FnMut(&[u8]),
    ) -> io::Result<()> {
        match self {
            Wrapping::Plain => {
                let read = received(socket, buffer)?;
                take(&buffer[..read]);
            }
            Wrapping::Http2(client) => {
                let read = received(socket, buffer)?;
                let mut answer = Vec::new();
                client.feed(&buffer[..read], &mut answer, take)?;
                if !answer.is_empty() {
                    send_all(socket, &answer)?;
                }
            }
            Wrapping::Tls(connection) => {
                if connection.read_tls(&mut Bare(socket))? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                connection.process_new_packets().map_err(io::Error::other)?;
                flush(connection, socket)?;
                loop {
                    match connection.reader().read(buffer) {
                        Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                        Ok(read) => take(&buffer[..read]),
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                        Err(error) => return Err(error),
                    }
                }
            }
        }
        Ok(())
    }
}

/// At least one byte.
fn received(socket: &OwnedFd, buffer: &mut [u8]) -> io::Result<usize> {
    match net::recv(socket, buffer, RecvFlags::empty())? {
        (_, 0) => Err(io::ErrorKind::UnexpectedEof.into()),
        (_, read) => Ok(read),
    }
}

fn send_all(socket: &OwnedFd, bytes: &[u8]) -> io::Result<()> {
    if net::send(socket, bytes, SendFlags::NOSIGNAL)? < bytes.len() {
        return Err(io::ErrorKind::WriteZero.into());
    }
    Ok(())
}

fn flush(connection: &mut ClientConnection, socket: &OwnedFd) -> io::Result<()> {
    while connection.wants_write() {
        connection.write_tls(&mut Bare(socket))?;
    }
    Ok(())
}

fn text(host: &str, target: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    let mut request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n");
    for (name, value) in headers {
        request += &format!("{name}: {value}\r\n");
    }
    request += "\r\n";
    request.into_bytes()
}

fn tls() -> ClientConnection {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    let config = CONFIG.get_or_init(|| {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring speaks TLS 1.2 and 1.3")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Any))
            .with_no_client_auth();
        Arc::new(config)
    });
    let name = ServerName::try_from("localhost").expect("a legal name");
    ClientConnection::new(Arc::clone(config), name).expect("a sound configuration")
}

/// Takes any certificate: what is measured runs on this machine and was started for it.
#[derive(Debug)]
struct Any;

impl ServerCertVerifier for Any {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![
            SignatureScheme::ECDSA_NISTP256_SHA256,
            SignatureScheme::ECDSA_NISTP384_SHA384,
            SignatureScheme::ED25519,
            SignatureScheme::RSA_PSS_SHA256,
            SignatureScheme::RSA_PKCS1_SHA256,
        ]
    }
}
