//! What the clients share: how a relay is reached, with which credential, and how that fails.

use crate::printable::Printable;
use crate::sse_parser::ParseError;
use jiff::SignedDuration;
use reqwest::{
    Client, ClientBuilder, Response, StatusCode, Url,
    header::{AUTHORIZATION, HeaderMap, HeaderValue, RETRY_AFTER},
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use serde::Deserialize;
use std::{fmt, fs, io, path::PathBuf, sync::Arc, time::Duration};

/// Where a relay listens unless told otherwise.
pub const DEFAULT_URL: &str = "http://127.0.0.1:8080";
/// Names the relay in the environment.
pub const URL_VARIABLE: &str = "SSE_RELAY_URL";
/// Holds the token in the environment.
pub const TOKEN_VARIABLE: &str = "SSE_RELAY_TOKEN";

/// Longest time to establish a connection, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A stream may be silent for long. So the kernel asks this often whether the peer still lives, and
/// gives up after [`KEEPALIVE_PROBES`] without an answer.
const KEEPALIVE: Duration = Duration::from_secs(15);
const KEEPALIVE_PROBES: u32 = 3;
/// Most bytes that are read of an answer that is not a stream.
const MAX_ANSWER: usize = 1024 * 1024;
/// Most characters that are shown of an error answer that is not a problem document.
const MAX_SHOWN: usize = 200;

/// Why a command ends without success.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("`{text}` is not a URL to connect to: {why}")]
    Url { text: String, why: String },
    #[error("name at least one channel to listen to: --channel orders")]
    NoChannel,
    #[error("the data are not JSON ({0}); without --json they are sent as text")]
    NotJson(serde_json::Error),
    #[error("{what} cannot be sent in a header: it has control characters")]
    Header { what: &'static str },
    #[error("name the channel to publish to: sse-relay publish CHANNEL")]
    NoTarget,
    #[error("{option} is for another system's clients: it needs --dialect swf")]
    NeedsDialect { option: &'static str },
    #[error("{name} is not set: it is {meaning}")]
    VariableMissing {
        name: &'static str,
        meaning: &'static str,
    },
    #[error("{name} cannot be `{value}`: {why}")]
    Variable {
        name: &'static str,
        value: String,
        why: &'static str,
    },
    #[error("cannot read the token file {}: {source}", path.display())]
    TokenFile { path: PathBuf, source: io::Error },
    #[error("cannot use {}: {why}", path.display())]
    Certificate { path: PathBuf, why: String },
    #[error("the token is empty")]
    NoToken,
    #[error("cannot set up the HTTP client: {0}")]
    Client(String),
    #[error(
        "found no certificate authorities on this system to check the server with; name a file of them with --ca"
    )]
    NoAuthorities,
    #[error("cannot connect to {to}: {why}")]
    Connect { to: String, why: String },
    #[error("{to} refused: {problem}")]
    Refused { to: String, problem: Problem },
    #[error("{to} does not answer with an event stream but with {found}")]
    NotAStream { to: String, found: String },
    #[error("lost the stream from {to}: {why}")]
    Lost { to: String, why: String },
    #[error("cannot understand the stream from {to}: {source}")]
    Stream { to: String, source: ParseError },
    #[error("cannot understand the answer of {to}: {why}")]
    Answer { to: String, why: String },
    /// Nobody can tell whether it was published.
    #[error(
        "{to} did not answer ({why}); it may have been published or not. Publishing the same again with --idempotency-key {key} does not publish it twice"
    )]
    OutcomeUnknown {
        to: String,
        why: String,
        key: String,
    },
    #[error("cannot read standard input: {0}")]
    Input(io::Error),
    #[error("standard input has {what} of more than {max} bytes")]
    InputTooLarge { what: &'static str, max: usize },
    #[error("standard input is not UTF-8 text")]
    InputNotText,
    #[error("cannot write to standard output: {0}")]
    Output(io::Error),
    #[error("{failed} of {total} lines failed")]
    Lines { failed: u64, total: u64 },
}

impl Failure {
    /// 1 failed; 2 wrong usage; 3 refused by the server; 4 cannot connect.
    pub fn exit_code(&self) -> u8 {
        match self {
            Failure::Url { .. }
            | Failure::NoChannel
            | Failure::NoTarget
            | Failure::NeedsDialect { .. }
            | Failure::VariableMissing { .. }
            | Failure::Variable { .. }
            | Failure::NotJson(_)
            | Failure::Header { .. }
            | Failure::TokenFile { .. }
            | Failure::Certificate { .. }
            | Failure::NoToken => 2,
            Failure::Refused { .. } => 3,
            Failure::Connect { .. } => 4,
            Failure::Client(_)
            | Failure::NoAuthorities
            | Failure::NotAStream { .. }
            | Failure::Lost { .. }
            | Failure::Stream { .. }
            | Failure::Answer { .. }
            | Failure::OutcomeUnknown { .. }
            | Failure::Input(_)
            | Failure::InputTooLarge { .. }
            | Failure::InputNotText
            | Failure::Output(_)
            | Failure::Lines { .. } => 1,
        }
    }
}

/// An answer other than success, as its problem document (RFC 9457) or its text says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    pub status: StatusCode,
    pub title: String,
    pub detail: String,
}

/// The members that are shown.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ProblemBody {
    pub title: String,
    pub detail: String,
}

impl fmt::Display for ProblemBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.title.is_empty(), self.detail.is_empty()) {
            (true, true) => f.write_str("no reason given"),
            (false, true) => Printable(&self.title).fmt(f),
            (true, false) => Printable(&self.detail).fmt(f),
            (false, false) => write!(f, "{}: {}", Printable(&self.title), Printable(&self.detail)),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body = ProblemBody {
            title: self.title.clone(),
            detail: self.detail.clone(),
        };
        write!(f, "{} {body}", self.status.as_u16())
    }
}

impl Problem {
    /// Any body will do: what is not a problem document is shown in part.
    pub fn new(status: StatusCode, body: &[u8]) -> Problem {
        let said = serde_json::from_slice::<ProblemBody>(body).unwrap_or_else(|_| ProblemBody {
            title: status.canonical_reason().unwrap_or_default().to_owned(),
            detail: String::from_utf8_lossy(body)
                .trim()
                .chars()
                .take(MAX_SHOWN)
                .collect(),
        });
        Problem {
            status,
            title: said.title,
            detail: said.detail,
        }
    }
}

/// The credential, from a file or the environment. It has no `Display`, and `Debug` hides it.
#[derive(Clone, Debug)]
pub struct Token(HeaderValue);

impl Token {
    /// From the file if one is named, else from the variable's value. Without either there is none.
    pub fn read(
        file: Option<&PathBuf>,
        variable: Option<String>,
    ) -> Result<Option<Token>, Failure> {
        let Some(path) = file else {
            return variable.as_deref().map(Token::parse).transpose();
        };
        Token::parse(&read_token_file(path)?).map(Some)
    }

    /// White space around it, such as a file's last line end, is not part of it.
    pub fn parse(text: &str) -> Result<Token, Failure> {
        Token::with_scheme("Bearer", text)
    }

    /// The same after another word than `Bearer`.
    pub fn with_scheme(scheme: &str, text: &str) -> Result<Token, Failure> {
        if text.trim().is_empty() {
            return Err(Failure::NoToken);
        }
        let mut value = header("the token", &format!("{scheme} {}", text.trim()))?;
        value.set_sensitive(true);
        Ok(Token(value))
    }

    /// Of the header `Authorization`.
    pub fn value(&self) -> HeaderValue {
        self.0.clone()
    }
}

/// The text of a file with a token.
pub fn read_token_file(path: &PathBuf) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|source| Failure::TokenFile {
        path: path.clone(),
        source,
    })
}

/// Any text without control characters, as UTF-8. `what` names it in the error.
pub fn header(what: &'static str, text: &str) -> Result<HeaderValue, Failure> {
    HeaderValue::from_bytes(text.as_bytes()).map_err(|_| Failure::Header { what })
}

/// An HTTP or HTTPS URL with a host.
pub fn parse_url(text: &str) -> Result<Url, Failure> {
    let bad = |why: String| Failure::Url {
        text: text.to_owned(),
        why,
    };
    let url = Url::parse(text).map_err(|error| bad(format!("{error}; write http://host:8080")))?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        other => Err(bad(format!(
            "`{other}:` is neither http: nor https:; write http://host:8080"
        ))),
    }
}

/// A URL without what may be secret: user, password and query.
pub fn shown(url: &Url) -> String {
    let origin = url.origin().ascii_serialization();
    format!("{origin}{}", Printable(url.path().trim_end_matches('/')))
}

/// Text as one segment of a URL's path or as a value in its query: all but unreserved characters
/// (RFC 3986, 2.3) are escaped, a space too, so that every decoder reads the same.
pub fn percent_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte.into());
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// A time as `30s`, `1m 30s`, `500ms`; more than none.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let signed: SignedDuration = text
        .parse()
        .map_err(|_| format!("`{text}` is not a time; write 30s, 500ms or 2m"))?;
    match Duration::try_from(signed) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err(format!("`{text}` is not more than no time")),
    }
}

/// Whom a command trusts, and which certificate it shows.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct TlsArgs {
    /// PEM file of the authorities to trust instead of the system's.
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// PEM file of a certificate to show, for a relay that asks for one.
    #[arg(long, value_name = "FILE", requires = "key")]
    pub certificate: Option<PathBuf>,
    /// PEM file of the certificate's private key.
    #[arg(long, value_name = "FILE", requires = "certificate")]
    pub key: Option<PathBuf>,
}

/// A client for one server. Redirects are followed, and a token is not sent on to another host;
/// proxies are taken from the environment.
pub fn http_client(url: &Url, token: Option<Token>, tls: &TlsArgs) -> Result<Client, Failure> {
    let mut headers = HeaderMap::new();
    if let Some(Token(value)) = token {
        headers.insert(AUTHORIZATION, value);
    }
    builder(url, headers, tls)?
        .build()
        .map_err(|error| Failure::Client(root_cause(error)))
}

/// What every client has, with these headers in each of its requests.
pub fn builder(url: &Url, headers: HeaderMap, tls: &TlsArgs) -> Result<ClientBuilder, Failure> {
    Ok(Client::builder()
        .tls_backend_preconfigured(tls_config(url, tls)?)
        .default_headers(headers)
        .user_agent(concat!("sse-relay/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_keepalive(KEEPALIVE)
        .tcp_keepalive_interval(KEEPALIVE)
        .tcp_keepalive_retries(KEEPALIVE_PROBES))
}

fn tls_config(url: &Url, args: &TlsArgs) -> Result<ClientConfig, Failure> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| Failure::Client(error.to_string()))?
        .with_root_certificates(trusted(url, args.ca.as_ref())?);
    let (Some(certificate), Some(key)) = (&args.certificate, &args.key) else {
        return Ok(builder.with_no_client_auth());
    };
    let wrong = |path: &PathBuf, why: String| Failure::Certificate {
        path: path.clone(),
        why,
    };
    let chain = certificates(certificate)?;
    let secret =
        PrivateKeyDer::from_pem_file(key).map_err(|error| wrong(key, error.to_string()))?;
    builder
        .with_client_auth_cert(chain, secret)
        .map_err(|error| wrong(certificate, error.to_string()))
}

/// Whom the system trusts, which may include an organisation's own authority; or whom a file names.
fn trusted(url: &Url, file: Option<&PathBuf>) -> Result<RootCertStore, Failure> {
    let mut roots = RootCertStore::empty();
    let authorities = match file {
        Some(path) => certificates(path)?,
        None => rustls_native_certs::load_native_certs().certs,
    };
    let (usable, _unusable) = roots.add_parsable_certificates(authorities);
    match file {
        Some(path) if usable == 0 => Err(Failure::Certificate {
            path: path.clone(),
            why: "none of its certificates is an authority's".to_owned(),
        }),
        None if usable == 0 && url.scheme() == "https" => Err(Failure::NoAuthorities),
        _ => Ok(roots),
    }
}

/// The certificates of a PEM file, at least one.
fn certificates(path: &PathBuf) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let wrong = |why: String| Failure::Certificate {
        path: path.clone(),
        why,
    };
    let all = CertificateDer::pem_file_iter(path).map_err(|error| wrong(error.to_string()))?;
    let all: Result<Vec<_>, _> = all.collect();
    match all {
        Ok(all) if all.is_empty() => Err(wrong("it has no certificate in PEM".to_owned())),
        Ok(all) => Ok(all),
        Err(error) => Err(wrong(error.to_string())),
    }
}

/// Of a request that got no answer, which counts as no connection, or of one that was sent around.
pub fn unanswered(to: &str, error: reqwest::Error) -> Failure {
    let (to, redirected) = (to.to_owned(), error.is_redirect());
    let why = root_cause(error);
    if redirected {
        Failure::Answer { to, why }
    } else {
        Failure::Connect { to, why }
    }
}

/// The innermost reason, without the URL, which may hold secrets.
pub fn root_cause(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// A whole answer, at most a mebibyte of it.
pub async fn body(mut response: Response) -> Result<Vec<u8>, reqwest::Error> {
    let mut all = Vec::new();
    while let Some(piece) = response.chunk().await? {
        let room = MAX_ANSWER - all.len();
        all.extend_from_slice(&piece[..piece.len().min(room)]);
        if all.len() == MAX_ANSWER {
            break;
        }
    }
    Ok(all)
}

/// The seconds of a `Retry-After`. A date in it is not read: the other side's clock is not ours.
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers
        .get(RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_needs_a_scheme_and_a_host() {
        assert!(parse_url("https://relay.example/x?y").is_ok());
        for bad in ["", "relay", "localhost:8080", "http://", "ftp://a/", "/v1"] {
            let failure = parse_url(bad).unwrap_err();
            assert_eq!(failure.exit_code(), 2, "{bad}: {failure}");
            assert!(
                failure.to_string().contains("http://host:8080"),
                "{failure}"
            );
        }
    }

    #[test]
    fn secrets_in_a_url_or_a_token_are_not_shown() {
        let url = parse_url("https://user:secret@h:81/p?token=secret#secret").unwrap();
        assert_eq!(shown(&url), "https://h:81/p");
        let token = Token::parse(" secret\n").unwrap();
        assert_eq!(token.0, "Bearer secret");
        assert!(!format!("{token:?}").contains("secret"));
        let failure = Token::parse("sec\nret").unwrap_err();
        assert!(!failure.to_string().contains("ret\""), "{failure}");
        assert!(matches!(Token::parse(" \n"), Err(Failure::NoToken)));
    }

    #[test]
    fn everything_but_unreserved_characters_is_escaped() {
        assert_eq!(percent_encode("a-._~Z9"), "a-._~Z9");
        assert_eq!(
            percent_encode("a/b?c#d %+&="),
            "a%2Fb%3Fc%23d%20%25%2B%26%3D"
        );
        assert_eq!(percent_encode("é"), "%C3%A9");
    }

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(parse_duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("1m 30s"), Ok(Duration::from_secs(90)));
        for bad in ["", "30", "0s", "-5s", "soon"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_problem_is_told_from_any_body() {
        let said = |body: &str| Problem::new(StatusCode::NOT_FOUND, body.as_bytes()).to_string();
        assert_eq!(
            said(
                r#"{"type":"x","title":"No such route","detail":"see \u001b[1m/v1","status":404}"#
            ),
            "404 No such route: see \\u{1b}[1m/v1"
        );
        assert_eq!(said("<p>gone\n"), "404 Not Found: <p>gone");
        assert_eq!(said(""), "404 Not Found");
        assert_eq!(said("{}"), "404 no reason given");
    }
}
