//! Findings, proposals and verdicts.

use jiff::Timestamp;

use super::{
    super::{
        Proposal, ProposedStep, Verdict,
        bindings::naosu::plugin::types as guest,
        validate::{
            Checked, ID_BYTES, NAME_BYTES, TEXT_BYTES, VALUE_BYTES, json, line, list, malformed,
            one_of, port, prefix, slug, text,
        },
    },
    effect::effect,
};
use crate::model::{Evidence, Finding, Flow, Judgement};

pub(in super::super) fn finding(plugin: &str, given: guest::Finding) -> Checked<Finding> {
    Ok(Finding {
        plugin: plugin.to_owned(),
        cause: slug("cause", given.cause)?,
        judgement: match given.judgement {
            guest::Judgement::Confirmed => Judgement::Confirmed,
            guest::Judgement::Suspected => Judgement::Suspected,
            guest::Judgement::RuledOut => Judgement::RuledOut,
            guest::Judgement::Unknown => Judgement::Unknown,
        },
        summary: text("summary", given.summary, TEXT_BYTES)?,
        evidence: list("evidence", given.evidence, evidence)?,
        required_flows: list("required-flows", given.required_flows, flow)?,
        infeasible: given
            .infeasible
            .map(|reason| text("infeasible", reason, TEXT_BYTES))
            .transpose()?,
        subject: if given.subject.is_empty() {
            serde_json::Value::Null
        } else {
            json("subject", &given.subject)?
        },
    })
}

fn evidence(field: &str, given: guest::Evidence) -> Checked<Evidence> {
    let observed_at = i64::try_from(given.observed_at)
        .ok()
        .and_then(|ms| Timestamp::from_millisecond(ms).ok());
    let Some(observed_at) = observed_at else {
        let reason = format!("{} is not a time", given.observed_at);
        return malformed(&format!("{field}.observed-at"), reason);
    };
    Ok(Evidence {
        resource: text(&format!("{field}.resource"), given.resource, ID_BYTES)?,
        field: text(&format!("{field}.field"), given.field, ID_BYTES)?,
        value: text(&format!("{field}.value"), given.value, VALUE_BYTES)?,
        observed_at,
        meaning: text(&format!("{field}.meaning"), given.meaning, TEXT_BYTES)?,
    })
}

fn flow(field: &str, given: guest::Flow) -> Checked<Flow> {
    Ok(Flow {
        protocol: one_of(
            &format!("{field}.protocol"),
            given.protocol,
            &["Tcp", "Udp"],
        )?,
        source_prefixes: list(
            &format!("{field}.source-prefixes"),
            given.source_prefixes,
            prefix,
        )?,
        destination_prefixes: list(
            &format!("{field}.destination-prefixes"),
            given.destination_prefixes,
            prefix,
        )?,
        destination_ports: list(
            &format!("{field}.destination-ports"),
            given.destination_ports,
            port,
        )?,
    })
}

pub(in super::super) fn proposal(given: guest::Proposal) -> Checked<Proposal> {
    Ok(Proposal {
        summary: text("summary", given.summary, TEXT_BYTES)?,
        steps: list("steps", given.steps, |field, step| {
            Ok(ProposedStep {
                title: line(&format!("{field}.title"), step.title, 2 * NAME_BYTES)?,
                effect: effect(&format!("{field}.effect"), step.effect)?,
            })
        })?,
        warnings: list("warnings", given.warnings, |field, warning| {
            text(field, warning, TEXT_BYTES)
        })?,
    })
}

pub(in super::super) fn verdict(given: guest::Verdict) -> Checked<Verdict> {
    Ok(Verdict {
        mended: given.mended,
        summary: text("summary", given.summary, TEXT_BYTES)?,
        evidence: list("evidence", given.evidence, evidence)?,
    })
}

pub(in super::super) fn finding_to_guest(finding: &Finding) -> guest::Finding {
    guest::Finding {
        cause: finding.cause.clone(),
        judgement: match finding.judgement {
            Judgement::Confirmed => guest::Judgement::Confirmed,
            Judgement::Suspected => guest::Judgement::Suspected,
            Judgement::RuledOut => guest::Judgement::RuledOut,
            Judgement::Unknown => guest::Judgement::Unknown,
        },
        summary: finding.summary.clone(),
        evidence: finding.evidence.iter().map(evidence_to_guest).collect(),
        required_flows: finding.required_flows.iter().map(flow_to_guest).collect(),
        infeasible: finding.infeasible.clone(),
        subject: finding.subject.to_string(),
    }
}

fn evidence_to_guest(evidence: &Evidence) -> guest::Evidence {
    guest::Evidence {
        resource: evidence.resource.clone(),
        field: evidence.field.clone(),
        value: evidence.value.clone(),
        observed_at: u64::try_from(evidence.observed_at.as_millisecond()).unwrap_or(0),
        meaning: evidence.meaning.clone(),
    }
}

fn flow_to_guest(flow: &Flow) -> guest::Flow {
    guest::Flow {
        protocol: flow.protocol.clone(),
        source_prefixes: flow.source_prefixes.clone(),
        destination_prefixes: flow.destination_prefixes.clone(),
        destination_ports: flow.destination_ports.clone(),
    }
}
