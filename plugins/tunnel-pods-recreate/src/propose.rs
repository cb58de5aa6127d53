//! Evicting agents, one at a time.

use naosu_plugin::{
    Agent, Cluster, Effect, Finding, Judgement, KubernetesPatch, ObjectList, ObjectRef,
    PluginError, PodEffect, Proposal, Query, Reads, Step, TunnelType, WorkloadEffect,
    kubernetes::Deployment, read_json, step,
};
use serde::Deserialize;
use serde_json::json;

use crate::{
    agents::{is_beyond_help, placed, what_helps},
    budgets::{self, Budgets},
    judge::{self, Judged, Subject},
};

/// A webhook configuration, as much of it as matters.
#[derive(Default, Deserialize)]
#[serde(default)]
struct WebhookConfiguration {
    metadata: naosu_plugin::kubernetes::Metadata,
    webhooks: Vec<Webhook>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Webhook {
    failure_policy: String,
}

/// The fewest konnectivity agents that AKS runs; its autoscaler raises it by the
/// number of nodes. Tunnels of before have one.
const KONNECTIVITY_AGENTS: u32 = 2;

pub fn plan(
    reads: &dyn Reads,
    cluster: &Cluster,
    finding: &Finding,
) -> Result<Proposal, PluginError> {
    let judged = judge::judge(reads, cluster, &Subject::of(finding))?;
    if judged.judgement == Judgement::RuledOut {
        return Err(PluginError::NothingToDo(judged.summary));
    }
    if let Some(reason) = judged.infeasible {
        return Err(PluginError::Infeasible(reason));
    }
    let mut warnings = vec![
        "Logs, exec and port-forward that run through an agent end when it is recreated."
            .to_owned(),
    ];
    let steps = if judged.tunnel.agents.is_empty() {
        vec![bring_back(&judged)]
    } else {
        recreate(reads, &judged, &mut warnings)
    };
    warnings.extend(fail_open_webhooks(reads));
    let summary = if judged.tunnel.agents.is_empty() {
        "Bring tunnel agents back"
    } else {
        "Recreate tunnel agents one at a time"
    };
    Ok(Proposal {
        summary: summary.to_owned(),
        steps,
        warnings,
    })
}

/// Evicts the agents that a new pod in their place may help.
fn recreate(reads: &dyn Reads, judged: &Judged, warnings: &mut Vec<String>) -> Vec<Step> {
    let tunnel = &judged.tunnel;
    let mut agents: Vec<&Agent> = judged.not_ready().collect();
    if agents.is_empty() {
        agents = placed(tunnel).collect();
    }
    warnings.extend(
        agents
            .iter()
            .filter_map(|agent| what_helps(agent))
            .map(|help| format!("Not mended by this plan: {help}")),
    );
    agents.retain(|agent| !is_beyond_help(agent));
    let name = deployment_name(tunnel.tunnel_type);
    match budgets::read(reads, tunnel, &agents) {
        Budgets::Refuse(why) => {
            warnings.push(format!(
                "{why}. So the rollout of {name} is restarted, which makes new agents before it \
                 ends any, ready ones too."
            ));
            return vec![restart(name)];
        }
        Budgets::Unread(why) => warnings.push(format!(
            "Whether a disruption budget is in the way could not be read ({why}); evictions wait \
             for it"
        )),
        Budgets::Fine => {}
    }
    agents.into_iter().map(evict).collect()
}

fn evict(agent: &Agent) -> Step {
    let metadata = &agent.pod.metadata;
    step(
        format!("Evict {} on {}", metadata.name, agent.pod.spec.node_name),
        Effect::PodEvict(PodEffect {
            namespace: metadata.namespace.clone(),
            name: metadata.name.clone(),
        }),
    )
}

fn deployment_name(tunnel_type: TunnelType) -> &'static str {
    tunnel_type.deployment().unwrap_or("konnectivity-agent")
}

/// Where there is no pod to evict, the deployment is asked for new ones.
fn bring_back(judged: &Judged) -> Step {
    let tunnel_type = judged.tunnel.tunnel_type;
    let name = deployment_name(tunnel_type);
    let asked = judged.tunnel.deployment.as_ref().map(Deployment::replicas);
    if asked == Some(0) {
        let wanted = match tunnel_type {
            TunnelType::Konnectivity => KONNECTIVITY_AGENTS,
            _ => 1,
        };
        return step(
            format!("Scale {name} from 0 to {wanted}"),
            Effect::KubernetesPatch(KubernetesPatch {
                object: ObjectRef {
                    api_version: "apps/v1".to_owned(),
                    kind: "Deployment".to_owned(),
                    namespace: "kube-system".to_owned(),
                    name: name.to_owned(),
                },
                patch: json!({ "spec": { "replicas": wanted } }).to_string(),
            }),
        );
    }
    restart(name)
}

fn restart(deployment: &str) -> Step {
    step(
        format!("Restart the rollout of {deployment}"),
        Effect::RolloutRestart(WorkloadEffect {
            kind: "Deployment".to_owned(),
            namespace: "kube-system".to_owned(),
            name: deployment.to_owned(),
        }),
    )
}

/// Webhooks that let requests pass while the tunnel is down.
fn fail_open_webhooks(reads: &dyn Reads) -> Vec<String> {
    let mut warnings = Vec::new();
    for kind in [
        "ValidatingWebhookConfiguration",
        "MutatingWebhookConfiguration",
    ] {
        let query = Query::KubernetesList(ObjectList {
            api_version: "admissionregistration.k8s.io/v1".to_owned(),
            kind: kind.to_owned(),
            namespace: String::new(),
            label_selector: String::new(),
        });
        match read_json::<Vec<WebhookConfiguration>>(reads, &query) {
            Ok(configurations) => {
                let names: Vec<String> = configurations
                    .value
                    .into_iter()
                    .filter(|c| c.webhooks.iter().any(|w| w.failure_policy == "Ignore"))
                    .map(|c| c.metadata.name)
                    .collect();
                if !names.is_empty() {
                    warnings.push(format!(
                        "These webhooks fail open, so requests slip past them while agents are \
                         recreated: {}",
                        listed(&names)
                    ));
                }
            }
            Err(_) => warnings.push(format!(
                "Whether webhooks fail open could not be read ({kind}); requests may slip past them"
            )),
        }
    }
    warnings
}

/// The first few of them.
fn listed(names: &[String]) -> String {
    const SHOWN: usize = 20;
    let shown: Vec<&str> = names.iter().take(SHOWN).map(String::as_str).collect();
    let more = names.len().saturating_sub(shown.len());
    match more {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
