//! What the certificate of a client says about it.

use crate::cursor::UnixMillis;
use rustls::pki_types::CertificateDer;
use x509_cert::{
    Certificate,
    der::Decode,
    ext::pkix::{SubjectAltName, name::GeneralName},
};

/// What a certificate says whose chain was verified.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClientCertificate {
    /// Its subject, as RFC 4514 writes it; empty if it has none.
    pub subject: Box<str>,
    /// Its further names: of DNS, URIs and addresses of e-mail.
    pub names: Vec<Box<str>>,
    /// When it ends.
    pub expires: UnixMillis,
}

impl ClientCertificate {
    /// `None` if it cannot be read, or has its further names twice: then it says nothing for sure.
    pub fn read(der: &CertificateDer<'_>) -> Option<ClientCertificate> {
        let certificate = Certificate::from_der(der).ok()?;
        let certificate = certificate.tbs_certificate();
        let further = certificate.get_extension::<SubjectAltName>().ok()?;
        let names = further.map(|(_, names)| names.0).unwrap_or_default();
        let ends = certificate.validity().not_after.to_unix_duration();
        Some(ClientCertificate {
            subject: certificate.subject().to_string().into(),
            names: names.iter().filter_map(plain).map(Into::into).collect(),
            expires: UnixMillis::try_from(ends.as_millis()).unwrap_or(UnixMillis::MAX),
        })
    }
}

/// A name that is of the kind that it looks like: one of DNS that reads as a URI is nobody's.
fn plain(name: &GeneralName) -> Option<&str> {
    let is_uri = |text: &str| text.contains([':', '/']);
    match name {
        GeneralName::UniformResourceIdentifier(uri) => Some(uri.as_str()).filter(|uri| is_uri(uri)),
        GeneralName::Rfc822Name(address) => {
            Some(address.as_str()).filter(|text| text.contains('@') && !is_uri(text))
        }
        GeneralName::DnsName(name) => {
            Some(name.as_str()).filter(|text| !text.contains('@') && !is_uri(text))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType, date_time_ymd};

    fn read(names: &[(DnType, &str)], further: Vec<SanType>) -> ClientCertificate {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, name) in names {
            params.distinguished_name.push(kind.clone(), *name);
        }
        params.subject_alt_names = further;
        params.not_after = date_time_ymd(2100, 1, 1);
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        ClientCertificate::read(certificate.der()).unwrap()
    }

    #[test]
    fn a_subject_is_written_so_that_no_name_passes_for_two() {
        let two = [
            (DnType::OrganizationName, "Example"),
            (DnType::CommonName, "backend"),
        ];
        let read_two = read(&two, Vec::new());
        assert_eq!(&*read_two.subject, "CN=backend,O=Example");
        assert_eq!(read_two.expires, 4_102_444_800_000);
        let one = read(&[(DnType::CommonName, "backend,O=Example")], Vec::new());
        assert_eq!(&*one.subject, "CN=backend\\,O=Example");
        assert_eq!(&*read(&[], Vec::new()).subject, "");
    }

    #[test]
    fn further_names_are_of_the_kind_that_they_look_like() {
        let dns = |text: &str| SanType::DnsName(text.try_into().unwrap());
        let uri = |text: &str| SanType::URI(text.try_into().unwrap());
        let mail = |text: &str| SanType::Rfc822Name(text.try_into().unwrap());
        let honest = read(
            &[],
            vec![dns("a.example"), uri("spiffe://a/b"), mail("a@example")],
        );
        let names: Vec<&str> = honest.names.iter().map(|name| &**name).collect();
        assert_eq!(names, ["a.example", "spiffe://a/b", "a@example"]);
        let false_ones = vec![
            dns("spiffe://a/b"),
            dns("a@example"),
            mail("spiffe://a@b"),
            mail("a.example"),
            uri("a.example"),
        ];
        assert!(read(&[], false_ones).names.is_empty());
    }

    #[test]
    fn what_is_no_certificate_says_nothing() {
        let nothing = CertificateDer::from(&b"0"[..]);
        assert_eq!(ClientCertificate::read(&nothing), None);
    }
}
