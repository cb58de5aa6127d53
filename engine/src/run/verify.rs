//! Whether a run mended the cluster: the plugin's verdict on fresh reads, and
//! the tunnel itself.

use std::sync::Arc;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Tools, remaining::remaining};
use crate::{
    model::{Event, Finding, TunnelAnswers, journal::Way, plan::PlanContent},
    plugin::{Plugin, ProposedStep, Reads},
    snapshot::Snapshot,
    tunnel,
};

/// What one look gave.
struct Look {
    mended: bool,
    summary: String,
    tunnel: Option<TunnelAnswers>,
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
            // Where the plugin's verdict was enough, the tunnel's word is still shown.
            let reads = fresh_reads(tools, content);
            let tunnel = match look.tunnel {
                Some(tunnel) => tunnel,
                None => tokio::select! {
                    tunnel = tunnel::ask(&reads) => tunnel,
                    () = shutdown.cancelled() => return None,
                },
            };
            return Some(Event::Verified {
                mended: look.mended,
                summary: look.summary,
                tunnel: Some(tunnel),
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
    let reads = fresh_reads(tools, content);
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
                tunnel: None,
            };
        }
    };
    if !verdict.mended {
        return Look {
            mended: false,
            summary: verdict.summary,
            tunnel: None,
        };
    }
    let said = verdict.summary.trim_end_matches('.');
    let answers = tunnel::ask(&reads).await;
    let (mended, summary) = if answers.carries() {
        (true, format!("{said}. {}", answers.in_words()))
    } else {
        let causes = remaining(tools, content, other_causes, &reads).await;
        if causes.is_empty() {
            (false, format!("{said}. But: {}", answers.in_words()))
        } else {
            // One of several causes is mended: the next is for the next plan.
            let causes: Vec<&str> = causes.iter().map(|f| f.cause.as_str()).collect();
            let remains = causes.join(", ");
            (
                true,
                format!("{said}. {} {remains} remains.", answers.in_words()),
            )
        }
    };
    Look {
        mended,
        summary,
        tunnel: Some(answers),
    }
}

fn fresh_reads(tools: &Tools, content: &PlanContent) -> Arc<dyn Reads> {
    Arc::new(Snapshot::live(
        content.cluster.clone(),
        Arc::clone(&tools.observer),
        Arc::clone(&tools.clock),
    ))
}

/// Asks the tunnel before the first step or after the way back; `None` when
/// told to shut down.
pub(super) async fn probe(
    tools: &Tools,
    content: &PlanContent,
    way: Way,
    shutdown: &CancellationToken,
) -> Option<Event> {
    let reads = fresh_reads(tools, content);
    tokio::select! {
        tunnel = tunnel::ask(&reads) => Some(Event::Probed { way, tunnel }),
        () = shutdown.cancelled() => None,
    }
}
