//! Whether the groups that the steps changed let the tunnel pass.

use std::collections::BTreeSet;

use naosu_plugin::{
    Cluster, Effect, Finding, PluginError, Reads, ResourceId, Step, Verdict, listed,
};
use serde::{Deserialize, Serialize};

use crate::{
    judge::{self, Judged},
    situation::Situation,
};

/// Most doubts that a finding keeps; more than a person could look into.
const DOUBTS: usize = 1_000;

/// What verifying needs to know again.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Subject {
    tunnel: String,
    blocking: Vec<Blocking>,
    /// What was not known.
    doubts: BTreeSet<String>,
}

/// A direction of a group that blocks.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Blocking {
    nsg: String,
    direction: String,
    port: String,
}

impl Subject {
    pub fn of(situation: &Situation, blocking: &[usize], doubts: &BTreeSet<String>) -> Self {
        let checkpoints = blocking.iter();
        let checkpoints = checkpoints.filter_map(|index| situation.checkpoints.get(*index));
        Self {
            tunnel: situation.tunnel.tunnel_type.name().to_owned(),
            blocking: checkpoints
                .map(|checkpoint| Blocking {
                    nsg: checkpoint.group.resource.clone(),
                    direction: checkpoint.direction.arm().to_owned(),
                    port: checkpoint.need.port.to_string(),
                })
                .collect(),
            doubts: doubts.iter().take(DOUBTS).cloned().collect(),
        }
    }
}

/// Judges the groups that the steps changed; all where no step says which. What is
/// not known besides, of other groups, of nodes, or of these groups before already,
/// is left to the tunnel, which answers it.
pub fn verify(
    reads: &dyn Reads,
    cluster: &Cluster,
    finding: &Finding,
    steps: &[Step],
) -> Result<Verdict, PluginError> {
    let situation = Situation::observe(reads, cluster)?;
    let judged = judge::judge(&situation)?;
    let subject: Subject = serde_json::from_str(&finding.subject).unwrap_or_default();
    let mended = is_mended(&situation, &judged, &subject, steps);
    let left = judged.unknown.iter().cloned();
    let left: BTreeSet<String> = left.chain(situation.admin_rules.unread()).collect();
    let summary = match mended {
        true if !judged.nothing_blocks() => {
            format!("What was changed blocks it no more; {}", judged.summary)
        }
        true if !left.is_empty() => {
            format!("No security group blocks it; {}", listed(&left, "; "))
        }
        _ => judged.summary,
    };
    Ok(Verdict {
        mended,
        summary,
        evidence: judged.evidence,
    })
}

fn is_mended(situation: &Situation, judged: &Judged, subject: &Subject, steps: &[Step]) -> bool {
    if !judged.admin_blocks.is_empty() || situation.tunnel.why_not_judged().is_some() {
        return false;
    }
    let changed = groups_of(steps);
    let is_changed = |index: &usize| {
        let checkpoint = situation.checkpoints.get(*index);
        changed.is_empty()
            || checkpoint
                .is_some_and(|at| changed.contains(&ResourceId(at.group.resource.clone()).key()))
    };
    let is_new = |doubt: &String| !subject.doubts.contains(doubt);
    let mut doubts = judged.doubts.iter().filter(|(index, _)| is_changed(index));
    !judged.blocking.iter().any(is_changed)
        && !doubts.any(|(_, doubts)| doubts.iter().any(is_new))
        // Without steps nothing is known to have been mended but the whole.
        && (!changed.is_empty() || judged.unknown.iter().all(|doubt| !is_new(doubt)))
}

/// The groups that steps change, by the key of their id.
fn groups_of(steps: &[Step]) -> BTreeSet<String> {
    let groups = steps.iter().filter_map(|step| match &step.effect {
        Effect::NsgRuleCreate(effect) | Effect::NsgRuleDelete(effect) => Some(&effect.nsg),
        Effect::NsgRulesReplace(effect) => Some(&effect.nsg),
        _ => None,
    });
    groups.map(|id| ResourceId(id.clone()).key()).collect()
}
