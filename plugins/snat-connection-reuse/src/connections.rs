//! Outbound connections of a node, as the host counts them: lines of "count
//! process destination", where a source's address stands in the place of a
//! process that is not on the node itself.

use std::net::IpAddr;

/// Connections of one process or address to one destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connections {
    pub count: u64,
    pub source: Source,
    /// "203.0.113.10:443"
    pub destination: String,
}

/// Whose they are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// A process on the node itself; `-` when its name is not known.
    Process(String),
    /// An address: a pod's, or the node's own.
    Address(IpAddr),
}

/// Connections that need a SNAT port: those to public addresses. A line in
/// another form says nothing.
pub fn parse(text: &str) -> Vec<Connections> {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let (count, source, destination) = (words.next()?, words.next()?, words.next()?);
            let (host, _port) = destination.rsplit_once(':')?;
            let host = host.trim_matches(['[', ']']).parse::<IpAddr>().ok()?;
            is_public(host).then_some(Connections {
                count: count.parse().ok()?,
                source: match source.parse() {
                    Ok(address) => Source::Address(address),
                    Err(_) => Source::Process(source.to_owned()),
                },
                destination: destination.to_owned(),
            })
        })
        .collect()
}

/// Whether packets to an address leave through the load balancer. Addresses of
/// documentation are public here: nobody routes them otherwise.
fn is_public(address: IpAddr) -> bool {
    /// Where Azure answers for itself, without translation.
    const AZURE_PLATFORM: [u8; 4] = [168, 63, 129, 16];
    match address {
        IpAddr::V4(v4) => {
            let [first, second, ..] = v4.octets();
            let is_shared = first == 100 && (64..128).contains(&second);
            !(v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_unspecified()
                || v4.is_multicast()
                || is_shared
                || v4.octets() == AZURE_PLATFORM)
        }
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => is_public(IpAddr::V4(v4)),
            // The load balancer's ports are given out for IPv4.
            None => false,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_connections_to_public_addresses_count() {
        let text = "64 10.244.4.9 203.0.113.10:443\n3 curl 10.224.0.9:443\n2 curl [::ffff:1.2.3.4]:80\n\
            1 - 168.63.129.16:80\n9 x 169.254.169.254:80\nnonsense\n-1 x 1.2.3.4:1\n4 y 100.64.0.1:1\n";
        let parsed = parse(text);
        let shown: Vec<(u64, &str)> = parsed
            .iter()
            .map(|c| (c.count, c.destination.as_str()))
            .collect();
        assert_eq!(
            shown,
            [(64, "203.0.113.10:443"), (2, "[::ffff:1.2.3.4]:80")]
        );
        assert_eq!(parsed[1].source, Source::Process("curl".to_owned()));
    }
}
