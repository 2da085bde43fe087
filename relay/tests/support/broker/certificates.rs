//! An authority, and a broker's certificate in the forms that brokers read.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use std::{fs, process::Command};
use tempfile::TempDir;

/// Files `ca.pem`, `server.pem`, `server.key` and both as `server.p12` with the password `changeit`
/// (for the name `broker.test` only), and `other-ca.pem`, which signed none of them.
pub struct Certificates {
    folder: TempDir,
}

impl Certificates {
    pub fn new() -> Certificates {
        let folder = TempDir::new().expect("a directory for certificates");
        let made = Certificates { folder };
        let issuer = made.authority("ca.pem");
        made.authority("other-ca.pem");
        made.signed(&issuer);
        made
    }

    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn authority(&self, name: &str) -> Issuer<'static, KeyPair> {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("it signs itself");
        fs::write(self.path(name), certificate.pem()).expect("it is written");
        Issuer::new(params, key)
    }

    fn signed(&self, issuer: &Issuer<'_, KeyPair>) {
        let params = CertificateParams::new(vec!["broker.test".to_owned()]).expect("a name");
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, issuer).expect("the authority signs");
        fs::write(self.path("server.pem"), certificate.pem()).expect("it is written");
        fs::write(self.path("server.key"), key.serialize_pem()).expect("it is written");
        let stored = Command::new("openssl")
            .args([
                "pkcs12",
                "-export",
                "-passout",
                "pass:changeit",
                "-name",
                "server",
            ])
            .args([
                "-in",
                &self.path("server.pem"),
                "-inkey",
                &self.path("server.key"),
            ])
            .args(["-out", &self.path("server.p12")])
            .status()
            .expect("openssl is installed: scripts/install-test-tools.sh does that");
        assert!(stored.success());
    }
}
