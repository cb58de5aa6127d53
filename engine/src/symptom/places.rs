//! Addresses, ports and nodes that a text names.

use std::net::IpAddr;

use serde_json::Value;

use super::KEPT_AT_MOST;
use crate::model::Hint;

/// No name or address is longer.
const LONGEST_WORD: usize = 300;

/// What a text names.
#[derive(Default)]
pub(super) struct Places {
    pub addresses: Vec<String>,
    pub ports: Vec<u16>,
}

impl Places {
    pub(super) fn in_text(text: &str) -> Self {
        let mut places = Self::default();
        for word in words(text) {
            let (host, port) = host_and_port(word);
            let Some(address) = address(host) else {
                // A port is one behind a name too, but "12:30" is a time.
                if host.contains(|c: char| c.is_ascii_alphabetic())
                    && let Some(port) = port
                {
                    keep(&mut places.ports, port);
                }
                continue;
            };
            keep(&mut places.addresses, address.to_string());
            if let Some(port) = port {
                keep(&mut places.ports, port);
            }
        }
        places
    }
}

fn keep<T: PartialEq>(kept: &mut Vec<T>, item: T) {
    if kept.len() < KEPT_AT_MOST && !kept.contains(&item) {
        kept.push(item);
    }
}

/// Runs of the characters that names, addresses and ports are made of.
pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    let inside = |c: char| c.is_ascii_alphanumeric() || ".-:[]".contains(c);
    text.split(move |c| !inside(c))
        .map(|word| word.trim_end_matches(['.', ':', '-']))
        .filter(|word| !word.is_empty() && word.len() <= LONGEST_WORD)
}

/// "host:port", "[host]:port" or a host alone.
fn host_and_port(word: &str) -> (&str, Option<u16>) {
    if word.parse::<IpAddr>().is_ok() {
        return (word, None);
    }
    match word.rsplit_once(':') {
        Some((host, port)) => match port.parse() {
            Ok(port) => (host, Some(port)),
            Err(_) => (word, None),
        },
        None => (word, None),
    }
}

/// An address of a machine: not all of them, none, or this one.
fn address(host: &str) -> Option<IpAddr> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let address: IpAddr = bare.parse().ok()?;
    (!address.is_unspecified() && !address.is_loopback()).then_some(address)
}

/// A node by all that it may be called.
struct Known {
    name: String,
    called: Vec<String>,
}

impl Known {
    fn is_called(&self, word: &str) -> bool {
        let is = |called: &String| called.eq_ignore_ascii_case(word);
        self.name.eq_ignore_ascii_case(word) || self.called.iter().any(is)
    }
}

fn known(node: &Value) -> Option<Known> {
    let name = node.pointer("/metadata/name")?.as_str()?.to_owned();
    let addresses = node.pointer("/status/addresses").and_then(Value::as_array);
    let called = addresses
        .into_iter()
        .flatten()
        .filter_map(|address| address.get("address")?.as_str())
        .map(str::to_owned)
        .collect();
    Some(Known { name, called })
}

/// Fills in which of the cluster's nodes are named, those given by hand first.
pub(super) fn locate(hint: &mut Hint, text: &str, given: &[String], nodes: &[Value]) {
    let nodes: Vec<Known> = nodes.iter().filter_map(known).collect();
    let find = |word: &str| nodes.iter().find(|node| node.is_called(word));
    for word in given
        .iter()
        .map(|word| word.trim())
        .filter(|w| !w.is_empty())
    {
        match find(word) {
            Some(node) => keep(&mut hint.nodes, node.name.clone()),
            None => keep(&mut hint.unknown_nodes, word.to_owned()),
        }
    }
    for word in words(text) {
        let (host, _) = host_and_port(word);
        let called = match address(host) {
            Some(address) => find(&address.to_string()),
            None => find(host),
        };
        if let Some(node) = called {
            keep(&mut hint.nodes, node.name.clone());
        }
    }
}
