//! What the API server gets from each kubelet through the tunnel.

use naosu_plugin::{
    Evidence, Observed, PluginError, Query, Reads, kubernetes::Node, read_json_many,
};
use serde::Deserialize;

/// What a probe found.
#[derive(Deserialize)]
pub struct Probe {
    pub reached: bool,
    #[serde(default)]
    pub error: String,
    #[serde(default)]
    pub tries: u32,
    #[serde(default)]
    pub answered: u32,
}

/// A node that is not reached, or not always.
pub struct Silent<'a> {
    pub node: &'a Node,
    error: String,
    answered: u32,
}

impl Silent<'_> {
    pub fn name(&self) -> &str {
        &self.node.metadata.name
    }
}

/// What all nodes gave.
pub struct Answers<'a> {
    /// How many nodes were asked.
    asked: usize,
    /// Those not reached, or not always.
    pub silent: Vec<Silent<'a>>,
    /// Those reached whose kubelet is at fault itself: name and error.
    faults: Vec<(&'a str, String)>,
}

/// Asks for every node.
pub fn read<'a>(
    reads: &dyn Reads,
    nodes: &'a [Node],
    evidence: &mut Vec<Evidence>,
) -> Result<Answers<'a>, PluginError> {
    let queries: Vec<Query> = nodes
        .iter()
        .map(|node| Query::TunnelProbe(node.metadata.name.clone()))
        .collect();
    let mut answers = Answers {
        asked: nodes.len(),
        silent: Vec::new(),
        faults: Vec::new(),
    };
    for (node, probe) in nodes.iter().zip(read_json_many::<Probe>(reads, &queries)) {
        let probe: Observed<Probe> = probe?;
        let Probe {
            reached,
            error,
            tries,
            answered,
        } = &probe.value;
        let said = |meaning: &str| {
            let value = if *answered > 0 && !reached {
                format!("{answered} of {tries} tries answered; {error}")
            } else {
                error.clone()
            };
            probe.evidence("tunnel probe", value, meaning)
        };
        if !reached {
            evidence.push(said(if *answered > 0 {
                "the API server reaches its kubelet only now and then"
            } else {
                "the API server does not reach its kubelet"
            }));
            answers.silent.push(Silent {
                node,
                error: error.clone(),
                answered: *answered,
            });
        } else if !error.is_empty() {
            evidence.push(said(
                "its kubelet is reached, and what answers there is at fault: not the tunnel",
            ));
            answers.faults.push((&node.metadata.name, error.clone()));
        }
    }
    Ok(answers)
}

impl Answers<'_> {
    /// Whether no node answers at any try.
    pub fn is_every_node_silent(&self) -> bool {
        self.silent.len() == self.asked && self.silent.iter().all(|silent| silent.answered == 0)
    }

    /// Whether one of these nodes answers at one try and not at another.
    pub fn is_any_reached_sometimes(&self, names: &[String]) -> bool {
        let among = |silent: &&Silent<'_>| names.iter().any(|name| name == silent.name());
        let mut silent = self.silent.iter().filter(among);
        silent.any(|silent| silent.answered > 0)
    }

    /// Whether the control plane says that no agent is connected to it.
    pub fn says_no_agent(&self) -> bool {
        let mut silent = self.silent.iter();
        silent.any(|silent| silent.error.to_lowercase().contains("no agent available"))
    }

    /// Whether every kubelet seems to speak plain HTTP, of more than one.
    pub fn are_all_plain_http(&self) -> bool {
        let plain = |(_, error): &(&str, String)| {
            error.contains("server gave HTTP response to HTTPS client")
        };
        self.asked > 1 && self.faults.len() == self.asked && self.faults.iter().all(plain)
    }

    /// Names of silent nodes, the first few.
    pub fn silent_in_words(&self) -> String {
        let names: Vec<&str> = self.silent.iter().take(5).map(Silent::name).collect();
        let more = self.silent.len().saturating_sub(names.len());
        if more == 0 {
            names.join(", ")
        } else {
            format!("{} and {more} more", names.join(", "))
        }
    }

    /// Kubelets at fault, after a sentence.
    pub fn faults_in_words(&self) -> String {
        match self.faults.split_first() {
            None => String::new(),
            Some(((name, error), rest)) => {
                let more = match rest.len() {
                    0 => String::new(),
                    more => format!(", and {more} more"),
                };
                format!("; the kubelet of {name} is at fault itself ({error}){more}")
            }
        }
    }
}
