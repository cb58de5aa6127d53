//! Cause: nodes run out of SNAT ports at the load balancer, and no number of ports
//! that AKS allows is enough. Fix: a NAT gateway in the load balancer's place, which
//! gives all nodes ports on demand, where AKS allows that change.

mod need;
mod transition;

use naosu_plugin::{
    Capability, Cluster, Description, Effect, EffectKind, Evidence, Finding, Judgement,
    NetworkProfileEffect, Observed, ParameterType, Plugin, PluginError, Proposal, Query, Reads,
    Step, Symptom, Verdict,
    arm::ManagedCluster,
    finding, parameter, read_json,
    snat::{CAUSE, SnatJudgement},
};
use serde::Deserialize;

use need::Need;
use transition::Gateway;

/// The plugin.
pub struct SnatNatGateway;

#[derive(Deserialize)]
struct Parameters {
    addresses: Option<u32>,
    #[serde(default)]
    prefer_gateway: bool,
}

impl Plugin for SnatNatGateway {
    fn describe() -> Description {
        Description {
            id: "snat-nat-gateway".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            cause: CAUSE.into(),
            summary: "Nodes run out of SNAT ports, and no more can be allocated".into(),
            fix: "Send outbound connections through a NAT gateway instead of the load balancer"
                .into(),
            parameters: vec![
                parameter(
                    "addresses",
                    ParameterType::Integer,
                    "Outbound addresses of a NAT gateway that AKS makes, 1 to 16, instead of the \
                     calculated number",
                    "",
                ),
                parameter(
                    "prefer_gateway",
                    ParameterType::Boolean,
                    "Change to a NAT gateway also where more ports of the load balancer can be \
                     enough",
                    "false",
                ),
            ],
            capabilities: vec![
                Capability::AzureRead,
                Capability::AzureMetrics,
                Capability::KubernetesRead,
            ],
            effects: vec![EffectKind::NetworkProfileSet],
        }
    }

    fn diagnose(
        reads: &dyn Reads,
        cluster: &Cluster,
        _symptom: &Symptom,
    ) -> Result<Finding, PluginError> {
        let judged = match SnatJudgement::observe(reads, cluster) {
            Ok(judged) => judged,
            Err(error) => return Ok(SnatJudgement::unreadable(&error)),
        };
        if judged.to_mend().is_err() {
            return Ok(judged.finding().build());
        }
        match Need::of(reads, &judged) {
            Ok(need) => Ok(conclude(reads, &judged, need)),
            Err(error) => Ok(SnatJudgement::unreadable(&error)),
        }
    }

    fn plan(
        reads: &dyn Reads,
        cluster: &Cluster,
        _finding: &Finding,
        parameters: &str,
    ) -> Result<Proposal, PluginError> {
        let parameters: Parameters = naosu_plugin::parameters(parameters)?;
        let judged = SnatJudgement::observe(reads, cluster)?;
        judged.to_mend()?;
        match Need::of(reads, &judged)? {
            Need::MorePorts(why) if !parameters.prefer_gateway => {
                return Err(PluginError::Infeasible(why));
            }
            Need::MorePorts(_) | Need::Gateway(_) => {}
        }
        let gateway = Gateway::find(reads, &judged.cluster)?;
        let patch = gateway.patch(judged.demand, parameters.addresses)?;
        let summary = gateway.summary();
        let mut warnings = vec![
            "Every outbound connection of the cluster is cut once, and comes from other addresses \
             afterwards: peers that allow the cluster by address must learn them first."
                .to_owned(),
        ];
        let access = &judged.cluster.value.properties.api_server_access_profile;
        let ranges = access
            .iter()
            .flat_map(|access| &access.authorized_ip_ranges);
        let ranges: Vec<&str> = ranges.map(String::as_str).collect();
        if !ranges.is_empty() {
            warnings.push(format!(
                "The API server accepts connections from {} only: see that the NAT gateway's \
                 addresses are among them, or the nodes lose it.",
                ranges.join(", ")
            ));
        }
        Ok(Proposal {
            summary: summary.clone(),
            steps: vec![Step {
                title: summary,
                effect: Effect::NetworkProfileSet(NetworkProfileEffect {
                    cluster: judged.cluster.resource.clone(),
                    patch: patch.to_string(),
                }),
            }],
            warnings,
        })
    }

    fn verify(
        reads: &dyn Reads,
        cluster: &Cluster,
        _finding: &Finding,
        _steps: &[Step],
    ) -> Result<Verdict, PluginError> {
        let cluster: Observed<ManagedCluster> =
            read_json(reads, &Query::AzureGet(cluster.id.clone()))?;
        Ok(verdict(&cluster))
    }
}

/// That ports run out is as sure as it is; that it takes a gateway is suspected at
/// most where more ports can be enough.
fn conclude(reads: &dyn Reads, judged: &SnatJudgement, need: Need) -> Finding {
    let gateway = Gateway::find(reads, &judged.cluster);
    let (found, why, is_needed) = match need {
        Need::Gateway(why) => (judged.finding(), why, true),
        Need::MorePorts(why) => {
            let summary = format!("{}; {why}", judged.summary);
            let found = finding(CAUSE, Judgement::Suspected, summary);
            (found.evidence_of(judged.evidence.clone()), why, false)
        }
    };
    let evidence = judged.cluster.evidence(
        "properties.networkProfile.loadBalancerProfile",
        if is_needed {
            "no more ports"
        } else {
            "more ports"
        },
        why.clone(),
    );
    match gateway {
        Ok(gateway) => found
            .evidence_of(gateway.evidence)
            .evidence(evidence)
            .build(),
        Err(PluginError::Infeasible(no_gateway)) => {
            let reason = if is_needed {
                no_gateway
            } else {
                format!("{why}; nor can it be had as it is: {no_gateway}")
            };
            found.infeasible(Some(reason)).build()
        }
        Err(error) => SnatJudgement::unreadable(&error),
    }
}

/// What the load balancer could not give counts no more once nothing goes out by
/// it; whether the gateway serves, the tunnel tells.
fn verdict(cluster: &Observed<ManagedCluster>) -> Verdict {
    let network = &cluster.value.properties.network_profile;
    let outbound = network.outbound_type.as_str();
    let type_evidence = |meaning: &str| -> Evidence {
        cluster.evidence("properties.networkProfile.outboundType", outbound, meaning)
    };
    let addresses = network
        .nat_gateway_profile
        .as_ref()
        .map_or(0, |profile| profile.effective_outbound_ips.len());
    let (mended, summary, meaning) = match outbound {
        "managedNATGateway" if addresses == 0 => (
            false,
            "The NAT gateway has no outbound address yet".to_owned(),
            "AKS makes the addresses",
        ),
        "managedNATGateway" => (
            true,
            format!("Outbound connections use a NAT gateway with {addresses} addresses"),
            "no longer the load balancer",
        ),
        "userAssignedNATGateway" => (
            true,
            "Outbound connections use the NAT gateway of the subnets".to_owned(),
            "no longer the load balancer",
        ),
        other => (
            false,
            format!("The outbound type is {other}"),
            "not a NAT gateway",
        ),
    };
    Verdict {
        mended,
        summary,
        evidence: vec![type_evidence(meaning)],
    }
}

naosu_plugin::export!(SnatNatGateway);
