//! An authority, a server's certificate and a client's.
#![allow(dead_code, reason = "each file of tests uses a part of it")]

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use std::{fs, process::Command};
use tempfile::TempDir;

/// Files `ca.pem`, `server.pem` and `server.key` (for one name only), `client.pem` and `client.key`, and
/// `other-ca.pem`, which signed none of them.
pub struct Certificates {
    folder: TempDir,
}

impl Certificates {
    /// For a server of this name.
    pub fn of(server: &str) -> Certificates {
        let folder = TempDir::new().expect("a directory for certificates");
        let made = Certificates { folder };
        let issuer = made.authority("ca.pem");
        made.authority("other-ca.pem");
        made.signed("server", server, &issuer);
        made.signed("client", "relay", &issuer);
        made
    }

    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    pub fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect("it was written")
    }

    /// Adds `server.p12`, with certificate and key, and the password `changeit`.
    #[must_use]
    pub fn with_store(self) -> Certificates {
        let path = |name: &str| self.path(name);
        let stored = Command::new("openssl")
            .args([
                "pkcs12",
                "-export",
                "-passout",
                "pass:changeit",
                "-name",
                "server",
            ])
            .args(["-in", &path("server.pem"), "-inkey", &path("server.key")])
            .args(["-out", &path("server.p12")])
            .status()
            .expect("openssl is installed: scripts/install-test-tools.sh does that");
        assert!(stored.success());
        self
    }

    fn authority(&self, name: &str) -> Issuer<'static, KeyPair> {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("it signs itself");
        self.write(name, &certificate.pem());
        Issuer::new(params, key)
    }

    fn signed(&self, file: &str, name: &str, issuer: &Issuer<'_, KeyPair>) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        params.distinguished_name.push(DnType::CommonName, file);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, issuer).expect("the authority signs");
        self.write(&format!("{file}.pem"), &certificate.pem());
        self.write(&format!("{file}.key"), &key.serialize_pem());
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("the directory is there");
    }
}
