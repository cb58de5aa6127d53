//! Whether a run mended the cluster: the plugin's verdict on fresh reads, and
//! the tunnel itself.

use std::sync::Arc;

use futures::{StreamExt, stream};
use serde_json::Value;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Tools, remaining::remaining};
use crate::{
    model::{Event, Finding, Judgement, Query, plan::PlanContent, query::ProbeResult},
    plugin::{Plugin, ProposedStep, Reads},
    snapshot::Snapshot,
};

/// So many nodes are asked through the tunnel; more show nothing more.
const NODES_PROBED: usize = 64;
/// How many of them at once.
const CONCURRENT_PROBES: usize = 16;

/// What one look gave.
struct Look {
    mended: bool,
    summary: String,
}

/// Verifies, waiting for the change to take effect; `None` when told to shut
/// down.
pub(super) async fn verify(
    tools: &Tools,
    plugin: &dyn Plugin,
    content: &PlanContent,
    other_causes: &[Finding],
    shutdown: &CancellationToken,
) -> Option<Event> {
    let deadline = Instant::now() + tools.settings.verify_for;
    loop {
        let look = tokio::select! {
            look = look(tools, plugin, content, other_causes) => look,
            () = shutdown.cancelled() => return None,
        };
        if look.mended || Instant::now() >= deadline {
            return Some(Event::Verified {
                mended: look.mended,
                summary: look.summary,
            });
        }
        tokio::select! {
            () = tokio::time::sleep(tools.settings.verify_pause) => {}
            () = shutdown.cancelled() => return None,
        }
    }
}

async fn look(
    tools: &Tools,
    plugin: &dyn Plugin,
    content: &PlanContent,
    other_causes: &[Finding],
) -> Look {
    let reads: Arc<dyn Reads> = Arc::new(Snapshot::live(
        content.cluster.clone(),
        Arc::clone(&tools.observer),
        Arc::clone(&tools.clock),
    ));
    let steps: Vec<ProposedStep> = content
        .steps
        .iter()
        .map(|step| ProposedStep {
            title: step.title.clone(),
            effect: step.effect.clone(),
        })
        .collect();
    let verdict = plugin
        .verify(
            &content.cluster,
            &content.finding,
            &steps,
            Arc::clone(&reads),
        )
        .await;
    let verdict = match verdict {
        Ok(verdict) => verdict,
        Err(error) => {
            return Look {
                mended: false,
                summary: format!("the plugin could not verify: {}", error.message),
            };
        }
    };
    if !verdict.mended {
        return Look {
            mended: false,
            summary: verdict.summary,
        };
    }
    let said = verdict.summary.trim_end_matches('.');
    match tunnel(&reads).await {
        Ok(answers) => Look {
            mended: true,
            summary: format!("{said}. {answers}"),
        },
        Err(fault) => {
            let causes = remaining(tools, content, other_causes, &reads).await;
            if causes.is_empty() {
                return Look {
                    mended: false,
                    summary: format!("{said}. But {fault}."),
                };
            }
            // One of several causes is mended: the next is for the next plan.
            let causes: Vec<&str> = causes.iter().map(|f| f.cause.as_str()).collect();
            Look {
                mended: true,
                summary: format!(
                    "{said}. The tunnel does not answer yet ({fault}): {} remains.",
                    causes.join(", ")
                ),
            }
        }
    }
}

/// Asks the kubelet of each node through the API server.
async fn tunnel(reads: &Arc<dyn Reads>) -> Result<String, String> {
    let nodes = Query::KubernetesList {
        api_version: "v1".to_owned(),
        object_kind: "Node".to_owned(),
        namespace: String::new(),
        label_selector: String::new(),
    };
    let body = reads.read(&nodes).await.answer;
    let body = body.map_err(|e| format!("the nodes cannot be listed: {e}"))?;
    let nodes: Vec<Value> =
        serde_json::from_str(&body).map_err(|e| format!("the list of nodes is malformed: {e}"))?;
    let mut names: Vec<String> = nodes
        .iter()
        .filter_map(|node| node.pointer("/metadata/name")?.as_str())
        .map(str::to_owned)
        .collect();
    names.sort_unstable();
    let total = names.len();
    names.truncate(NODES_PROBED);
    let probed = names.len();
    let probes = names.into_iter().map(|node| async move {
        let query = Query::TunnelProbe { node: node.clone() };
        let body = reads.read(&query).await.answer.map_err(|e| e.message)?;
        let result: ProbeResult = serde_json::from_str(&body).map_err(|e| e.to_string())?;
        if result.reached {
            Ok(())
        } else {
            Err(format!(
                "node {node} is not reached through the tunnel: {}",
                result.error
            ))
        }
    });
    let results: Vec<Result<(), String>> = stream::iter(probes)
        .buffered(CONCURRENT_PROBES)
        .collect()
        .await;
    match results.into_iter().find_map(Result::err) {
        Some(fault) => Err(fault),
        None => Ok(format!(
            "The tunnel answers on {probed} of {total} nodes asked."
        )),
    }
}

/// Confirmed causes other than the one that is mended.
pub(super) fn other_causes(findings: &[Finding], mended: &Finding) -> Vec<Finding> {
    findings
        .iter()
        .filter(|f| f.judgement == Judgement::Confirmed && f.cause != mended.cause)
        .cloned()
        .collect()
}
