//! The text of a symptom read as data: what kind it is, which nodes it names,
//! and what the probes say to it. The text is anybody's: it is searched for
//! known words and addresses, within bounds, and never acted upon.

mod kinds;
mod places;
mod weigh;

#[cfg(test)]
mod tests;

use serde_json::Value;

use crate::model::{Bearing, Finding, Hint, HintKind, Symptom, TunnelAnswers};

pub use kinds::kind_of;

/// So much of a text is read; errors say what they have to say early.
const READ_AT_MOST: usize = 16 << 10;
/// So many nodes, addresses and ports of it are kept.
const KEPT_AT_MOST: usize = 32;

/// Whether a text in which a kubelet was asked says that it, or whatever stands
/// in its place, was reached and answered wrongly.
pub fn is_peer_fault(text: &str) -> bool {
    matches!(kind_of(text), HintKind::KubeletTls | HintKind::PlainHttp)
}

/// Reads a symptom; `None` when it says nothing at all. Without the cluster's
/// nodes no name of a node is known yet.
pub fn read(symptom: &Symptom) -> Option<Hint> {
    let text = beginning(&symptom.text);
    if text.trim().is_empty() && symptom.nodes.is_empty() {
        return None;
    }
    let kind = kind_of(text);
    let meant = kinds::meaning(kind);
    let places = places::Places::in_text(text);
    Some(Hint {
        kind,
        bearing: meant.bearing,
        meaning: meant.meaning.to_owned(),
        next: meant.next.to_owned(),
        causes: meant
            .causes
            .iter()
            .map(|cause| (*cause).to_owned())
            .collect(),
        nodes: Vec::new(),
        addresses: places.addresses,
        ports: places.ports,
        unknown_nodes: Vec::new(),
        probe: String::new(),
    })
}

impl Hint {
    /// Finds the cluster's nodes that the symptom names. `nodes` are Kubernetes
    /// nodes as the API server lists them.
    pub(crate) fn locate(&mut self, symptom: &Symptom, nodes: &[Value]) {
        places::locate(self, beginning(&symptom.text), &symptom.nodes, nodes);
    }

    /// Says what the probes say to the text.
    pub(crate) fn weigh(&mut self, answers: Option<&TunnelAnswers>) {
        self.probe = weigh::words(self, answers);
    }

    /// Where a cause stands among those the text speaks for; the rest last.
    pub(crate) fn rank(&self, cause: &str) -> usize {
        let place = self.causes.iter().position(|known| known == cause);
        place.unwrap_or(self.causes.len())
    }

    /// Puts evidence about named nodes first; none is lost.
    pub(crate) fn sort_evidence(&self, finding: &mut Finding) {
        if self.nodes.is_empty() {
            return;
        }
        finding.evidence.sort_by_key(|evidence| {
            let about = [&evidence.resource, &evidence.field, &evidence.meaning];
            !about.into_iter().any(|text| self.names_in(text))
        });
    }

    fn names_in(&self, text: &str) -> bool {
        places::words(text).any(|word| self.nodes.iter().any(|node| node == word))
    }

    /// What plugins are told: the text, and by name the nodes to look at first.
    pub(crate) fn symptom_for_plugins(&self, symptom: &Symptom) -> Symptom {
        let mut nodes = self.nodes.clone();
        nodes.extend(self.unknown_nodes.iter().cloned());
        Symptom {
            text: symptom.text.clone(),
            nodes,
        }
    }
}

/// The part of a text that is read.
fn beginning(text: &str) -> &str {
    let mut end = text.len().min(READ_AT_MOST);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

/// The bearing of a kind.
pub fn bearing_of(kind: HintKind) -> Bearing {
    kinds::meaning(kind).bearing
}

/// Causes that any kind of text speaks for, each once.
pub fn known_causes() -> Vec<&'static str> {
    let mut causes: Vec<&str> = HintKind::ALL
        .into_iter()
        .flat_map(|kind| kinds::meaning(kind).causes.iter().copied())
        .collect();
    causes.sort_unstable();
    causes.dedup();
    causes
}
