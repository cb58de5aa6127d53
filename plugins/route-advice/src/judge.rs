//! Whether routes are in the way, from what each passage gives.

use std::collections::BTreeSet;

use naosu_plugin::{
    Cluster, Evidence, Finding, FindingBuilder, Judgement, NodeNetwork, PluginError, Reads,
    TunnelNodes, Verdict, finding, listed,
    way_out::{Probed, Way, tunnel_evidence},
};

use crate::{CAUSE, nodes, out};

/// What one passage of the tunnel's packets shows.
#[derive(Debug)]
pub struct Passage {
    /// The packets and where routes send them, in words.
    pub words: String,
    /// What of it is in the way, or may be.
    pub state: State,
    /// The routes that decide.
    pub evidence: Vec<Evidence>,
    /// What to change.
    pub advice: String,
}

/// Whether a passage's routes are in the way.
#[derive(Debug)]
pub enum State {
    /// They lead where they should.
    Straight,
    /// They lose the packets, whatever else there is.
    Lost,
    /// They divert packets to where no read reaches; trying it gave this.
    Diverted {
        /// What trying gave.
        tried: Probed,
        /// What else explains that nothing came back, or may; nothing where the
        /// routes are all that is left.
        else_stopped: Option<String>,
    },
    /// Where they lead is not known; trying it gave this.
    NotKnown(Probed),
}

/// That a rule stops the packets, too.
pub fn stops(rule: &str) -> String {
    format!("{rule} stops it as well")
}

struct Judged {
    judgement: Judgement,
    summary: String,
    evidence: Vec<Evidence>,
    advice: Vec<String>,
}

pub fn diagnose(reads: &dyn Reads, cluster: &Cluster) -> Result<Finding, PluginError> {
    match judge(reads, cluster) {
        Ok(judged) => {
            let advice = (!judged.advice.is_empty()).then(|| {
                format!(
                    "routes are the network owner's to change: {}",
                    listed(&judged.advice, "; ")
                )
            });
            Ok(finding(CAUSE, judged.judgement, judged.summary)
                .evidence_of(judged.evidence)
                .infeasible(advice)
                .build())
        }
        Err(error @ PluginError::AnalysisTooComplex(_)) => Err(error),
        Err(error) => Ok(FindingBuilder::unreadable(CAUSE, "The routes", &error).build()),
    }
}

pub fn verify(reads: &dyn Reads, cluster: &Cluster) -> Result<Verdict, PluginError> {
    let judged = judge(reads, cluster)?;
    Ok(Verdict {
        mended: judged.judgement == Judgement::RuledOut,
        summary: judged.summary,
        evidence: judged.evidence,
    })
}

fn judge(reads: &dyn Reads, cluster: &Cluster) -> Result<Judged, PluginError> {
    let observed = TunnelNodes::observe(reads, cluster)?;
    let network = NodeNetwork::observe(reads, &observed.cluster.value, &observed.nodes)?;
    let mut passages = Vec::new();
    let mut unknown = BTreeSet::new();
    let mut evidence = vec![tunnel_evidence(&observed.tunnel)];
    match Way::of(reads, &observed, &network)? {
        Way::Out(way) => {
            evidence.push(way.server.evidence.clone());
            passages.extend(out::passages(reads, &way)?);
        }
        Way::NotNeeded(_, why) => evidence.push(why),
        // Without an agent there is none whose way could be diverted.
        Way::Unknown(_, why) if observed.tunnel.agents.is_empty() => evidence.push(why),
        Way::Unknown(reason, why) => {
            unknown.insert(reason);
            evidence.push(why);
        }
    }
    unknown.extend(observed.tunnel.why_not_judged());
    let to_nodes = nodes::passages(reads, &observed, &network)?;
    passages.extend(to_nodes.passages);
    unknown.extend(to_nodes.unknown);
    let unplaced = network.nodes_without_interface.iter();
    unknown
        .extend(unplaced.map(|node| format!("node {node}: its network interface was not found")));
    Ok(conclude(passages, evidence, unknown))
}

fn conclude(
    passages: Vec<Passage>,
    mut evidence: Vec<Evidence>,
    mut unknown: BTreeSet<String>,
) -> Judged {
    let (mut certain, mut suspected) = (Vec::new(), Vec::new());
    let mut advice = Vec::new();
    for passage in passages {
        evidence.extend(passage.evidence);
        let (tried, doubt, is_diverted) = match passage.state {
            State::Straight => continue,
            State::Lost => {
                certain.push(passage.words);
                advice.push(passage.advice);
                continue;
            }
            State::Diverted {
                tried,
                else_stopped,
            } => (tried, else_stopped, true),
            State::NotKnown(tried) => (tried, None, false),
        };
        match (tried, doubt) {
            (Probed::Reached(found), _) => evidence.push(found),
            (Probed::NotReached(found), None) if is_diverted => {
                evidence.push(found);
                certain.push(format!("{}, and nothing comes back", passage.words));
                advice.push(passage.advice);
            }
            (Probed::NotReached(found), doubt) => {
                evidence.push(found);
                let doubt = doubt.map(|else_stopped| format!(", and {else_stopped}"));
                suspected.push(format!("{}{}", passage.words, doubt.unwrap_or_default()));
                advice.push(passage.advice);
            }
            (Probed::Impossible(why), _) if is_diverted => {
                suspected.push(format!("{}; it could not be tried ({why})", passage.words));
                advice.push(passage.advice);
            }
            (Probed::Impossible(why), _) => {
                unknown.insert(format!("{} ({why})", passage.words));
            }
        }
    }
    let (judgement, summary) = if !certain.is_empty() {
        (Judgement::Confirmed, listed(&certain, "; "))
    } else if !suspected.is_empty() {
        (Judgement::Suspected, listed(&suspected, "; "))
    } else if !unknown.is_empty() {
        let reasons = listed(&unknown, "; ");
        let summary = format!("Where routes lead is not known: {reasons}");
        (Judgement::Unknown, summary)
    } else {
        let summary = "No route diverts the tunnel to where its packets are lost";
        (Judgement::RuledOut, summary.to_owned())
    };
    advice.sort_unstable();
    advice.dedup();
    Judged {
        judgement,
        summary,
        evidence,
        advice,
    }
}
