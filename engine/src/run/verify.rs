//! Whether a run mended the cluster: the plugin's verdict on fresh reads, and
//! the tunnel itself.

use std::sync::Arc;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    Tools,
    comparison::{Compared, Shown, compare},
    concern::{Concern, symptom_of},
    remaining::remaining,
};
use crate::{
    model::{Event, Finding, Symptom, TunnelAnswers, journal::Way, plan::PlanContent},
    plugin::{Plugin, ProposedStep, Reads},
    snapshot::Snapshot,
    tunnel::{self, ClusterNode},
};

/// What a run was begun with.
pub(super) struct Known<'a> {
    /// Found beside what the plan mends.
    pub other_causes: &'a [Finding],
    /// What the tunnel answered before the first step, when it was asked.
    pub before: Option<&'a TunnelAnswers>,
}

/// What one look gave.
struct Look {
    mended: bool,
    summary: String,
    tunnel: Option<(TunnelAnswers, Vec<ClusterNode>)>,
}

impl Look {
    /// When the plugin's verdict is enough, or there is none.
    fn unmended(summary: String) -> Self {
        Self {
            mended: false,
            summary,
            tunnel: None,
        }
    }
}

/// Verifies, waiting for the change to take effect; `None` when told to shut
/// down.
pub(super) async fn verify(
    tools: &Tools,
    plugin: &dyn Plugin,
    content: &PlanContent,
    known: &Known<'_>,
    shutdown: &CancellationToken,
) -> Option<Event> {
    let begun = Instant::now();
    let (concern, symptom) = tokio::select! {
        told = told(tools, content) => told,
        () = shutdown.cancelled() => return None,
    };
    let looking = Looking {
        tools,
        plugin,
        content,
        known,
        concern: &concern,
        symptom: &symptom,
    };
    loop {
        let look = tokio::select! {
            look = looking.look() => look,
            () = shutdown.cancelled() => return None,
        };
        if look.mended || begun.elapsed() >= tools.settings.verify_for {
            // Where the plugin's verdict was enough, the tunnel's word is still shown.
            let reads = fresh_reads(tools, content);
            let asking = async {
                let (tunnel, nodes) = match look.tunnel {
                    Some(tunnel) => tunnel,
                    None => ask(&reads, &concern).await,
                };
                with_the_way_below(tunnel, &reads, &concern, &nodes).await
            };
            let tunnel = tokio::select! {
                tunnel = asking => tunnel,
                () = shutdown.cancelled() => return None,
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

/// What each look works with.
struct Looking<'a> {
    tools: &'a Tools,
    plugin: &'a dyn Plugin,
    content: &'a PlanContent,
    known: &'a Known<'a>,
    concern: &'a Concern,
    symptom: &'a Symptom,
}

impl Looking<'_> {
    async fn look(&self) -> Look {
        let content = self.content;
        let reads = fresh_reads(self.tools, content);
        let steps: Vec<ProposedStep> = content
            .steps
            .iter()
            .map(|step| ProposedStep {
                title: step.title.clone(),
                effect: step.effect.clone(),
            })
            .collect();
        let verdict = self
            .plugin
            .verify(
                &content.cluster,
                &content.finding,
                &steps,
                Arc::clone(&reads),
            )
            .await;
        match verdict {
            Ok(verdict) if verdict.mended => self.of_tunnel(&verdict.summary, &reads).await,
            Ok(verdict) => Look::unmended(verdict.summary),
            Err(error) => Look::unmended(format!("the plugin could not verify: {}", error.message)),
        }
    }

    /// What the tunnel says, where the plugin finds its cause gone.
    async fn of_tunnel(&self, said: &str, reads: &Arc<dyn Reads>) -> Look {
        let said = said.trim_end_matches('.');
        let (answers, nodes) = ask(reads, self.concern).await;
        let concerned = self.concern.nodes(&nodes);
        let comparison = compare(Compared {
            before: self.known.before,
            after: &answers,
            nodes: &nodes,
            concerned: concerned.as_ref(),
        });
        let words = format!("{}{}", answers.in_words(), comparison.in_words());
        // One of several causes may be mended: the next is for the next plan.
        let remains = match comparison.shown {
            Shown::Lost => String::new(),
            Shown::Mended if answers.carries() => String::new(),
            Shown::Mended | Shown::Silent => self.remaining_causes(reads).await,
        };
        let mended = match comparison.shown {
            Shown::Mended => true,
            Shown::Silent => !remains.is_empty(),
            Shown::Lost => false,
        };
        let but = if mended { "" } else { " But:" };
        let mut summary = format!("{said}.{but} {words}");
        if !remains.is_empty() {
            summary.push_str(&format!(" {remains} remains."));
        }
        Look {
            mended,
            summary,
            tunnel: Some((answers, nodes)),
        }
    }

    async fn remaining_causes(&self, reads: &Arc<dyn Reads>) -> String {
        let others = self.known.other_causes;
        let causes = remaining(self.tools, self.content, others, self.symptom, reads).await;
        let causes: Vec<&str> = causes.iter().map(|f| f.cause.as_str()).collect();
        causes.join(", ")
    }
}

/// What the plan is about, and the symptom that it was made for.
async fn told(tools: &Tools, content: &PlanContent) -> (Concern, Symptom) {
    let diagnosis = tools.store.diagnosis(&content.diagnosis).await;
    let diagnosis = diagnosis.ok().flatten();
    (
        Concern::of(content, diagnosis.as_ref()),
        symptom_of(diagnosis.as_ref()),
    )
}

/// Asks the tunnel, first of those nodes that the plan is about.
async fn ask(reads: &Arc<dyn Reads>, concern: &Concern) -> (TunnelAnswers, Vec<ClusterNode>) {
    match tunnel::read_nodes(reads).await {
        Ok(nodes) => {
            let first = concern.first(&nodes);
            (tunnel::ask(reads, &nodes, &first).await, nodes)
        }
        Err(error) => (TunnelAnswers::not_asked(error), Vec::new()),
    }
}

/// Adds what connections from the agents' nodes give. It takes a command on a node,
/// and decides nothing, so it is asked once.
async fn with_the_way_below(
    tunnel: TunnelAnswers,
    reads: &Arc<dyn Reads>,
    concern: &Concern,
    nodes: &[ClusterNode],
) -> TunnelAnswers {
    let silent = tunnel.unreached().map(|node| node.node.clone());
    let to: Vec<String> = concern.first(nodes).into_iter().chain(silent).collect();
    TunnelAnswers {
        from_agents: tunnel::from_agents(reads, nodes, &to).await,
        ..tunnel
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
    let probing = async {
        let (concern, _) = told(tools, content).await;
        let reads = fresh_reads(tools, content);
        let (tunnel, nodes) = ask(&reads, &concern).await;
        with_the_way_below(tunnel, &reads, &concern, &nodes).await
    };
    tokio::select! {
        tunnel = probing => Some(Event::Probed { way, tunnel }),
        () = shutdown.cancelled() => None,
    }
}
