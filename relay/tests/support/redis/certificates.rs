//! An authority, a server's certificate and a client's.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use std::{fs, path::Path};
use tempfile::TempDir;

/// Files `ca.pem`, `server.pem` and `server.key` (for the name `redis.test` only), `client.pem` and
/// `client.key`, and `other-ca.pem`, which signed none of them.
pub struct Certificates {
    folder: TempDir,
}

impl Certificates {
    pub fn new() -> Certificates {
        let folder = TempDir::new().expect("a directory for certificates");
        let made = Certificates { folder };
        let issuer = made.authority("ca.pem");
        made.authority("other-ca.pem");
        made.signed("server", &["redis.test"], &issuer);
        made.signed("client", &["relay"], &issuer);
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
        self.write(name, &certificate.pem());
        Issuer::new(params, key)
    }

    fn signed(&self, name: &str, names: &[&str], issuer: &Issuer<'_, KeyPair>) {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, issuer).expect("the authority signs");
        self.write(&format!("{name}.pem"), &certificate.pem());
        self.write(&format!("{name}.key"), &key.serialize_pem());
    }

    fn write(&self, name: &str, text: &str) {
        let path: &Path = self.folder.path();
        fs::write(path.join(name), text).expect("the file is written");
    }
}
