//! Whether the way out is closed, and by what.

use std::collections::BTreeSet;

use naosu_plugin::{
    Cluster, Effect, Finding, FindingBuilder, Flow, Judgement, PluginError, Reads, Step, Verdict,
    finding, listed, prefixes,
    way_out::{Way, WayOut},
};

use crate::{CAUSE, judged::Judged, obstacles::Obstacles, parameters::Parameters, propose};

/// Prefixes that a flow may list.
const LISTED_PREFIXES: usize = 1_000;

pub fn diagnose(reads: &dyn Reads, cluster: &Cluster) -> Result<Finding, PluginError> {
    let way = match Way::observe(reads, cluster) {
        Ok(Way::Out(way)) => way,
        Ok(Way::NotNeeded(why, evidence)) => {
            let found = finding(CAUSE, Judgement::RuledOut, why);
            return Ok(found.evidence(evidence).build());
        }
        Ok(Way::Unknown(why, evidence)) => {
            let found = finding(CAUSE, Judgement::Unknown, why);
            return Ok(found.evidence(evidence).build());
        }
        Err(error @ PluginError::AnalysisTooComplex(_)) => return Err(error),
        Err(error) => {
            return Ok(FindingBuilder::unreadable(CAUSE, "The way out", &error).build());
        }
    };
    let judged = judge(reads, &way)?;
    let infeasible = infeasible(&way, &judged)?;
    let mut builder = finding(CAUSE, judged.judgement(), judged.summary)
        .evidence_of(judged.evidence)
        .infeasible(infeasible);
    for flow in required_flows(&way) {
        builder = builder.required_flow(flow);
    }
    let firewalls: Vec<&str> = judged
        .faults
        .iter()
        .filter_map(|fault| way.firewalls.get(fault.firewall))
        .map(|firewall| firewall.resource.resource.as_str())
        .collect();
    let subject = serde_json::json!({
        "tunnel": way.tunnel.tunnel_type.name(),
        "port": way.port.to_string(),
        "firewalls": firewalls,
    });
    Ok(builder.subject(&subject).build())
}

pub fn verify(
    reads: &dyn Reads,
    cluster: &Cluster,
    steps: &[Step],
) -> Result<Verdict, PluginError> {
    let way = match Way::observe(reads, cluster)? {
        Way::Out(way) => way,
        Way::NotNeeded(summary, evidence) => {
            return Ok(Verdict {
                mended: true,
                summary,
                evidence: vec![evidence],
            });
        }
        Way::Unknown(summary, evidence) => {
            return Ok(Verdict {
                mended: false,
                summary,
                evidence: vec![evidence],
            });
        }
    };
    // Security admin rules that may not be read stay a doubt before and after.
    let judged = Obstacles::of(&way).judge(reads, None)?;
    // What is in the way besides the firewalls is another cause's to mend, or its
    // owner's; and what is not known besides them was not known before.
    let has_added = |step: &Step| matches!(step.effect, Effect::FirewallRuleAdd(_));
    let lets_pass = judged.faults.is_empty() && judged.doubted_firewalls.is_empty();
    let mended = match judged.judgement() {
        Judgement::RuledOut => true,
        Judgement::Confirmed => lets_pass,
        Judgement::Suspected | Judgement::Unknown => lets_pass && steps.iter().any(has_added),
    };
    Ok(Verdict {
        mended,
        summary: judged.summary,
        evidence: judged.evidence,
    })
}

/// Judges the whole way, trying it where what is written down does not tell.
pub fn judge(reads: &dyn Reads, way: &WayOut) -> Result<Judged, PluginError> {
    Obstacles::of(way).judge(reads, way.admin_rules.unread())
}

/// Why no rule can be added, and what can be done instead.
fn infeasible(way: &WayOut, judged: &Judged) -> Result<Option<String>, PluginError> {
    if !matches!(
        judged.judgement(),
        Judgement::Confirmed | Judgement::Suspected
    ) {
        return Ok(None);
    }
    if judged.faults.is_empty() {
        // What can be asked of someone is a plan, of steps that a person does.
        if !judged.asks.is_empty() {
            return Ok(None);
        }
        return Ok((!judged.advice.is_empty()).then(|| listed(&judged.advice, "; ")));
    }
    match propose::additions(way, judged, &Parameters::default()) {
        Ok(_) => Ok(None),
        Err(
            PluginError::Infeasible(why)
            | PluginError::NoFreePriority(why)
            | PluginError::NothingToDo(why),
        ) => Ok(Some(why)),
        Err(error) => Err(error),
    }
}

/// The packets that any node needs which an agent may come up on.
fn required_flows(way: &WayOut) -> Vec<Flow> {
    let to = way.server.destinations.known(&way.tags);
    let to = to.map(|to| to.to_prefixes()).unwrap_or_default();
    let sources: BTreeSet<_> = way.legs.iter().flat_map(|leg| leg.nodes.clone()).collect();
    if to.is_empty() || to.len() > LISTED_PREFIXES || sources.is_empty() {
        return Vec::new();
    }
    vec![Flow {
        protocol: way.port.protocol_of_nsg().to_owned(),
        source_prefixes: prefixes::texts(&prefixes::exactly(sources)),
        destination_prefixes: prefixes::texts(&to),
        destination_ports: vec![way.port.number.to_string()],
    }]
}
