//! Certificates of the tests.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use std::{fs, os::unix::fs::symlink, path::Path};

/// Who issues certificates.
pub struct Authority {
    pub pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key.
#[derive(Clone)]
pub struct Pair {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    pub fn new(name: &str) -> Authority {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Authority {
            pem,
            issuer: Issuer::new(params, key),
        }
    }

    /// For a server of this machine, until the given year.
    pub fn server(&self, until: i32) -> Pair {
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params
            .subject_alt_names
            .push(SanType::IpAddress([127, 0, 0, 1].into()));
        params.not_after = date_time_ymd(until, 1, 1);
        self.issue(&params)
    }

    /// For a client with these names.
    pub fn client(&self, common_name: &str, names: Vec<SanType>) -> Pair {
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, common_name);
        params.subject_alt_names = names;
        self.issue(&params)
    }

    fn issue(&self, params: &CertificateParams) -> Pair {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Pair {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }
}

impl Pair {
    pub fn chain(&self) -> Vec<CertificateDer<'static>> {
        vec![CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap()]
    }

    pub fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap()
    }

    /// Puts the pair where the kubelet would put a Secret: files that are links through `..data`,
    /// which is swapped in one step.
    pub fn mount(&self, folder: &Path) {
        let version = folder.join(format!("..{}", fs::read_dir(folder).unwrap().count()));
        fs::create_dir(&version).unwrap();
        fs::write(version.join("tls.crt"), &self.certificate).unwrap();
        fs::write(version.join("tls.key"), &self.key).unwrap();
        let next = folder.join("..data_tmp");
        symlink(version.file_name().unwrap(), &next).unwrap();
        fs::rename(&next, folder.join("..data")).unwrap();
        for name in ["tls.crt", "tls.key"] {
            if !folder.join(name).exists() {
                symlink(Path::new("..data").join(name), folder.join(name)).unwrap();
            }
        }
    }
}
