//! Which of the other causes are still there once one is mended: what was
//! confirmed with it may have been the same fault, seen by another plugin.

use std::sync::Arc;

use super::Tools;
use crate::{
    model::{Finding, Judgement, plan::PlanContent},
    plugin::Reads,
};

/// Those of the causes that their plugins still confirm on fresh reads. One
/// that cannot be judged anew counts as still there.
pub(super) async fn remaining(
    tools: &Tools,
    content: &PlanContent,
    causes: &[Finding],
    reads: &Arc<dyn Reads>,
) -> Vec<Finding> {
    let diagnosis = tools.store.diagnosis(&content.diagnosis).await;
    let symptom = diagnosis.ok().flatten().map(|d| d.symptom);
    let symptom = symptom.unwrap_or_default();
    let mut remaining = Vec::new();
    for cause in causes {
        let Some(plugin) = tools.plugins.get(&cause.plugin) else {
            remaining.push(cause.clone());
            continue;
        };
        let judged = plugin
            .diagnose(&content.cluster, &symptom, Arc::clone(reads))
            .await;
        match judged {
            Ok(finding) if finding.judgement != Judgement::Confirmed => {}
            Ok(_) | Err(_) => remaining.push(cause.clone()),
        }
    }
    remaining
}
