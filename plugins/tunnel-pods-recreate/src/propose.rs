//! Evicting agents, one at a time.

use naosu_plugin::{
    Agent, Cluster, Effect, Judgement, ObjectList, PluginError, PodEffect, Proposal, Query, Reads,
    Step, TunnelType, WorkloadEffect, read_json,
};
use serde::Deserialize;

use crate::judge::{self, Judged};

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

pub fn plan(reads: &dyn Reads, cluster: &Cluster) -> Result<Proposal, PluginError> {
    let judged = judge::judge(reads, cluster)?;
    if judged.judgement == Judgement::RuledOut {
        return Err(PluginError::NothingToDo(judged.summary));
    }
    let steps = if judged.tunnel.agents.is_empty() {
        vec![restart(&judged)]
    } else {
        let mut agents: Vec<&Agent> = judged.not_ready().collect();
        if agents.is_empty() {
            agents = judged.tunnel.agents.iter().collect();
        }
        agents.into_iter().map(evict).collect()
    };
    let mut warnings = vec![
        "Logs, exec and port-forward that run through an agent end when it is recreated."
            .to_owned(),
    ];
    warnings.extend(fail_open_webhooks(reads));
    Ok(Proposal {
        summary: "Recreate tunnel agents one at a time".to_owned(),
        steps,
        warnings,
    })
}

fn evict(agent: &Agent) -> Step {
    let metadata = &agent.pod.metadata;
    Step {
        title: format!("Evict {} on {}", metadata.name, agent.pod.spec.node_name),
        effect: Effect::PodEvict(PodEffect {
            namespace: metadata.namespace.clone(),
            name: metadata.name.clone(),
        }),
    }
}

/// Where there is no pod to evict, the deployment is asked for new ones.
fn restart(judged: &Judged) -> Step {
    let name = match judged.tunnel.tunnel_type {
        TunnelType::Tunnelfront => "tunnelfront",
        TunnelType::AksLink => "aks-link",
        _ => "konnectivity-agent",
    };
    Step {
        title: format!("Restart the rollout of {name}"),
        effect: Effect::RolloutRestart(WorkloadEffect {
            kind: "Deployment".to_owned(),
            namespace: "kube-system".to_owned(),
            name: name.to_owned(),
        }),
    }
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
                        names.join(", ")
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
