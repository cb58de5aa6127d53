//! Which of the other causes are still there once one is mended: what was found
//! with it may have been the same fault, seen by another plugin.

use std::sync::Arc;

use super::Tools;
use crate::{
    model::{Finding, Judgement, Symptom, plan::PlanContent},
    plugin::Reads,
};

/// Causes other than the one that is mended which explain a tunnel that stays
/// silent: confirmed ones, and suspected ones that name the packets they keep out.
/// Any other suspicion may come of the silence itself.
pub(super) fn other_causes(findings: &[Finding], mended: &Finding) -> Vec<Finding> {
    findings
        .iter()
        .filter(|finding| explains_silence(finding) && finding.cause != mended.cause)
        .cloned()
        .collect()
}

fn explains_silence(finding: &Finding) -> bool {
    match finding.judgement {
        Judgement::Confirmed => true,
        Judgement::Suspected => !finding.required_flows.is_empty(),
        Judgement::Unknown | Judgement::RuledOut => false,
    }
}

/// Those of the causes that are still there on fresh reads. One that cannot be
/// judged anew counts as still there.
pub(super) async fn remaining(
    tools: &Tools,
    content: &PlanContent,
    causes: &[Finding],
    symptom: &Symptom,
    reads: &Arc<dyn Reads>,
) -> Vec<Finding> {
    let mut remaining = Vec::new();
    for cause in causes {
        let Some(plugin) = tools.plugins.get(&cause.plugin) else {
            remaining.push(cause.clone());
            continue;
        };
        let judged = plugin
            .diagnose(&content.cluster, symptom, Arc::clone(reads))
            .await;
        match judged {
            Ok(finding) if finding.judgement == Judgement::Unknown => remaining.push(cause.clone()),
            Ok(finding) if !explains_silence(&finding) => {}
            Ok(_) | Err(_) => remaining.push(cause.clone()),
        }
    }
    remaining
}
