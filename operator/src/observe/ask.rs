//! Asking a replica.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, redirect::Policy};
use rustls::{ClientConfig, RootCertStore, crypto::ring};

use super::findings::Findings;
use super::reading::{Reading, Unclear};
use crate::names::ADMIN_PORT;

/// A replica that takes longer does not answer.
const TIMEOUT: Duration = Duration::from_secs(3);
/// A relay's metrics are a tenth of it.
const LONGEST: usize = 1 << 20;

/// Asks replicas by plain HTTP, at their own addresses.
#[derive(Clone)]
pub struct Asker {
    client: Client,
}

impl Asker {
    /// One that follows no redirects and heeds no proxies: pods are here or nowhere.
    pub fn new() -> Result<Self, reqwest::Error> {
        // nothing is asked by TLS: no authority is believed
        let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider has these versions")
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(Policy::none())
            .no_proxy()
            .timeout(TIMEOUT)
            .pool_max_idle_per_host(0)
            .build()?;
        Ok(Self { client })
    }

    /// What the replica at `address` says about itself.
    pub async fn metrics(&self, address: IpAddr) -> Result<Reading, Unclear> {
        let text = self.get(address, "metrics").await?;
        Reading::of(&String::from_utf8_lossy(&text))
    }

    /// What the replica at `address` finds at its Redis.
    pub async fn checks(&self, address: IpAddr) -> Result<Findings, Unclear> {
        let json = self.get(address, "checks").await?;
        Findings::of(&json)
    }

    async fn get(&self, address: IpAddr, path: &str) -> Result<Vec<u8>, Unclear> {
        let address = SocketAddr::new(address, ADMIN_PORT as u16);
        let request = self.client.get(format!("http://{address}/{path}"));
        let mut response = request.send().await.map_err(unanswered)?;
        if !response.status().is_success() {
            return Err(Unclear::Foreign);
        }
        let mut text = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(unanswered)? {
            if text.len() + piece.len() > LONGEST {
                return Err(Unclear::Foreign);
            }
            text.extend_from_slice(&piece);
        }
        Ok(text)
    }
}

fn unanswered(error: reqwest::Error) -> Unclear {
    if error.is_timeout() {
        Unclear::Timeout
    } else {
        Unclear::Connection
    }
}
