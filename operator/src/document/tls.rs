//! TLS of the pods, and what holders of certificates may do, as the relay reads it.

use relay_config as config;

use super::right;
use crate::crd::{CertificateRule, ClientAuth, Tls, TlsVersion};
use crate::references::path_in_pod;
use crate::references::tls::{CERTIFICATE, CLIENT_CA, KEY};

pub(super) fn tls(from: &Tls) -> config::Tls {
    let mut to = config::Tls::new(path_in_pod(CERTIFICATE), path_in_pod(KEY));
    to.min_version = match from.min_version {
        TlsVersion::Tls12 => config::TlsVersion::Tls12,
        TlsVersion::Tls13 => config::TlsVersion::Tls13,
    };
    to.client_auth = match from.client_auth {
        ClientAuth::None => config::ClientAuth::None,
        ClientAuth::Optional => config::ClientAuth::Optional,
        ClientAuth::Required => config::ClientAuth::Required,
    };
    to.client_ca = from.client_ca.as_ref().map(|_| path_in_pod(CLIENT_CA));
    to
}

pub(super) fn certificate(from: &CertificateRule) -> config::CertificateRule {
    config::CertificateRule {
        name: from.name.clone(),
        subject: from.subject.clone(),
        san: from.san.clone(),
        publish: from.publish.clone(),
        subscribe: from.subscribe.clone(),
        manage: from.manage.iter().copied().map(right).collect(),
    }
}
