//! Trying a way, where what is written down does not tell.

use serde::Deserialize;

use crate::{Evidence, Observed, Query, Reads, TcpProbe, error::in_words, read_json};

/// What trying gave.
#[derive(Clone, Debug, PartialEq)]
pub enum Probed {
    /// The other side answered.
    Reached(Evidence),
    /// It did not.
    NotReached(Evidence),
    /// It could not be tried; says why.
    Impossible(String),
}

#[derive(Deserialize)]
struct Answer {
    reached: bool,
    #[serde(default)]
    error: String,
}

/// Tries a TCP connection from a node. A connection that is refused came
/// through; a name that is not resolved says nothing of the way.
pub fn probe_tcp(reads: &dyn Reads, from_node: &str, host: &str, port: u16) -> Probed {
    let query = Query::TcpProbe(TcpProbe {
        from_node: from_node.to_owned(),
        to_host: host.to_owned(),
        port,
    });
    let field = format!("TCP probe to {host}:{port}");
    let answer: Observed<Answer> = match read_json(reads, &query) {
        Ok(answer) => answer,
        Err(error) => return Probed::Impossible(in_words(&error)),
    };
    let error = answer.value.error.to_ascii_lowercase();
    if !answer.value.reached && error.contains("connection refused") {
        let meaning = "refused at the end of an open way";
        return Probed::Reached(answer.evidence(field, answer.value.error.clone(), meaning));
    }
    if error.contains("name resolution") || error.contains("name or service not known") {
        return Probed::Impossible(format!("{host} is not resolved: {}", answer.value.error));
    }
    probed(&answer, field)
}

/// Asks the kubelet of a node through the API server.
pub fn probe_tunnel(reads: &dyn Reads, node: &str) -> Probed {
    match read_json(reads, &Query::TunnelProbe(node.to_owned())) {
        Ok(answer) => probed(&answer, "tunnel probe".to_owned()),
        Err(error) => Probed::Impossible(in_words(&error)),
    }
}

fn probed(answer: &Observed<Answer>, field: String) -> Probed {
    if answer.value.reached {
        Probed::Reached(answer.evidence(field, "reached", "the way is open"))
    } else {
        let error = answer.value.error.clone();
        Probed::NotReached(answer.evidence(field, error, "no answer came back"))
    }
}
