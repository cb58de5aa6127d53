//! Boxes in words.

use std::fmt;

use super::flow_box::{FlowBox, protocols_with_ports};
use super::packet::{Direction, Protocol};
use super::ranges::{PortSet, ProtocolSet};

/// Ports as text, each range as `first-last` or one number; `*` for all.
pub fn port_texts(ports: &PortSet) -> Vec<String> {
    if ports.is_full() {
        return vec!["*".to_owned()];
    }
    range_texts(ports.ranges())
}

/// Protocols as text: names where they have one; `any` for all.
pub fn protocol_texts(protocols: &ProtocolSet) -> Vec<String> {
    if protocols.is_full() {
        return vec!["any".to_owned()];
    }
    let mut texts = Vec::new();
    for &(first, last) in protocols.ranges() {
        // Long ranges come from complements; naming each member says nothing.
        if last - first > 3 {
            texts.push(format!("protocols {first}-{last}"));
        } else {
            texts.extend(
                (first..=last)
                    .filter_map(|number| u8::try_from(number).ok())
                    .map(|number| Protocol(number).to_string()),
            );
        }
    }
    texts
}

/// Ranges of numbers as text, each as `first-last` or one number.
pub(crate) fn range_texts(ranges: &[(u128, u128)]) -> Vec<String> {
    ranges
        .iter()
        .map(|(first, last)| {
            if first == last {
                first.to_string()
            } else {
                format!("{first}-{last}")
            }
        })
        .collect()
}

/// `TCP 10250 from 10.224.0.0/16 to 10.224.0.0/16`; packets that open a
/// connection are meant unless the words say otherwise.
impl fmt::Display for FlowBox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_words(f, &self.sources, &self.destinations)
    }
}

impl FlowBox {
    /// The box in words, with its addresses as they were written before: there
    /// may be hundreds.
    pub(crate) fn words(&self, sources: &str, destinations: &str) -> String {
        struct Words<'a>(&'a FlowBox, &'a str, &'a str);
        impl fmt::Display for Words<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.write_words(f, &self.1, &self.2)
            }
        }
        Words(self, sources, destinations).to_string()
    }

    fn write_words(
        &self,
        f: &mut fmt::Formatter<'_>,
        sources: &dyn fmt::Display,
        destinations: &dyn fmt::Display,
    ) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("nothing");
        }
        if !self.states.contains(0_u8) {
            f.write_str("established ")?;
        }
        if !self.directions.is_full() {
            let directions: Vec<&str> = self.directions().map(Direction::as_str).collect();
            write!(f, "{} ", directions.join(" and "))?;
        }
        if self.protocols.is_full() {
            f.write_str("any protocol")?;
        } else if self.protocols == protocols_with_ports() {
            f.write_str("any protocol with ports,")?;
        } else {
            f.write_str(&protocol_texts(&self.protocols).join(", "))?;
        }
        if !self.destination_ports.is_full() {
            write!(f, " {}", port_texts(&self.destination_ports).join(", "))?;
        }
        write!(f, " from {sources}")?;
        if !self.source_ports.is_full() {
            write!(f, " port {}", port_texts(&self.source_ports).join(", "))?;
        }
        write!(f, " to {destinations}")?;
        if self.states.is_full() {
            f.write_str(", established connections too")?;
        }
        Ok(())
    }
}
