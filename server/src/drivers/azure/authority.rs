//! The HTTP client that the credential library asks for tokens with.
//!
//! The library insists on `https` for the token authority. That is right for
//! every real one; an emulator on loopback has no certificate, and its traffic
//! never leaves the machine. So for a loopback authority given as `http`, and for
//! no other, requests are sent in the clear.

use std::sync::Arc;

use async_trait::async_trait;
use azure_core::http::{AsyncRawResponse, HttpClient, Request};
use url::Url;

/// Sends requests for one loopback authority without TLS, all others unchanged.
#[derive(Debug)]
struct PlainLoopback {
    authority: Url,
    client: Arc<dyn HttpClient>,
}

#[async_trait]
impl HttpClient for PlainLoopback {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let url = request.url();
        let same_place = url.host() == self.authority.host() && url.port() == self.authority.port();
        if !same_place || url.scheme() != "https" {
            return self.client.execute_request(request).await;
        }
        let mut plain = request.clone();
        // From one web scheme to the other always succeeds.
        let _ = plain.url_mut().set_scheme("http");
        self.client.execute_request(&plain).await
    }
}

/// The client and the authority to name to the credential library.
pub fn transport(authority: &Url, client: reqwest::Client) -> (Arc<dyn HttpClient>, Url) {
    let client: Arc<dyn HttpClient> = Arc::new(client);
    if authority.scheme() != "http" || !is_loopback(authority) {
        return (client, authority.clone());
    }
    let mut shown = authority.clone();
    let _ = shown.set_scheme("https");
    let plain = PlainLoopback {
        authority: shown.clone(),
        client,
    };
    (Arc::new(plain), shown)
}

/// Whether the URL's host can only be this machine.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_ever_spoken_to_without_tls() {
        let loopback = |text: &str| is_loopback(&Url::parse(text).unwrap());
        assert!(loopback("http://127.0.0.1:8080"));
        assert!(loopback("http://[::1]:8080"));
        assert!(loopback("http://localhost"));
        assert!(!loopback("http://10.0.0.1"));
        assert!(!loopback("http://localhost.example"));
        assert!(!loopback("http://127.0.0.1.example"));
    }
}
