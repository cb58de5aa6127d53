//! The way of one request, walked by the product on a lab: diagnose, plan,
//! approve, apply, verify, take back; with the truth looked up beside it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use naosu_lab::{
    Lab, NodeName,
    data_plane::DataPlaneError,
    scenario::{Cause, ExpectedFix, Judgement},
};
use serde_json::Value;

use crate::{
    product::{Naosu, ProductError},
    tunnel_truth::unreachable_nodes,
};

/// The plugins that judge a cause. Where several mend one cause, each judges it,
/// and a scenario holds all of them to it.
pub fn plugins_of(cause: Cause) -> &'static [&'static str] {
    match cause {
        Cause::Nsg => &["nsg-allow-port"],
        Cause::Ufw => &["ufw-allow-port", "ufw-disable"],
        Cause::Iptables => &["iptables-delete-rule"],
        Cause::Egress => &["egress-open-port"],
        Cause::Snat => &[
            "snat-connection-reuse",
            "snat-nat-gateway",
            "snat-outbound-ports",
        ],
        Cause::TunnelPods => &["tunnel-pods-recreate"],
        Cause::KonnectivityScale => &["konnectivity-scale"],
        Cause::Route => &["route-advice"],
    }
}

/// Ids of the plugins that this build has.
///
/// # Errors
/// When the product cannot be asked.
pub async fn loaded_plugins(naosu: &Naosu) -> Result<BTreeSet<String>, ProductError> {
    let plugins = naosu.json(&["plugin", "list"]).await?;
    Ok(plugins
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|plugin| plugin["id"].as_str().map(str::to_owned))
        .collect())
}

/// Diagnoses the lab's cluster with the symptom that its user saw.
///
/// # Errors
/// When the product fails.
pub async fn diagnose(naosu: &Naosu, lab: &Lab) -> Result<Value, ProductError> {
    let cluster = lab.cluster_id();
    let symptom = lab.scenario().expect.symptom.clone().unwrap_or_default();
    naosu
        .json(&["diagnose", &cluster, "--symptom", &symptom])
        .await
}

/// The judgement of each plugin in a diagnosis.
pub fn judgements(diagnosis: &Value) -> BTreeMap<String, String> {
    let findings = diagnosis["findings"].as_array();
    findings
        .into_iter()
        .flatten()
        .filter_map(|finding| {
            let text = |field: &str| finding[field].as_str().map(str::to_owned);
            Some((text("plugin")?, text("judgement")?))
        })
        .collect()
}

/// How a diagnosis differs from what its scenario expects of the plugins that are
/// loaded; one line each.
pub fn wrong_judgements(lab: &Lab, diagnosis: &Value, loaded: &BTreeSet<String>) -> Vec<String> {
    let found = judgements(diagnosis);
    let mut wrong = Vec::new();
    let expect = &lab.scenario().expect;
    if let Some(expected) = &expect.hint {
        let hint = &diagnosis["hint"];
        if hint["kind"] != expected.as_str() {
            wrong.push(format!(
                "the symptom is read as {hint}, expected {expected}"
            ));
        }
    }
    let known = |plugin: &str| Cause::ALL.iter().any(|c| plugins_of(*c).contains(&plugin));
    for plugin in expect.plugins.keys().filter(|plugin| !known(plugin)) {
        wrong.push(format!("{plugin}: no plugin of this name judges a cause"));
    }
    for (cause, expected) in &expect.findings {
        for plugin in plugins_of(*cause)
            .iter()
            .filter(|plugin| loaded.contains(**plugin))
        {
            let expected = expect.plugins.get(*plugin).unwrap_or(expected);
            let judgement = found.get(*plugin).map_or("no finding", String::as_str);
            if judgement != name_of(*expected) {
                wrong.push(format!(
                    "{cause} by {plugin}: {judgement}, expected {}: {}",
                    name_of(*expected),
                    why(diagnosis, plugin)
                ));
            }
        }
    }
    for (plugin, parts) in expect.evidence.iter().filter(|(p, _)| loaded.contains(*p)) {
        let evidence = evidence(diagnosis, plugin);
        let missing = parts.iter().filter(|part| !evidence.contains(*part));
        wrong.extend(missing.map(|part| format!("{plugin}: {part:?} is no evidence: {evidence}")));
    }
    for advice in expect.advice.iter().filter(|a| loaded.contains(&a.plugin)) {
        let said = why(diagnosis, &advice.plugin);
        if !said.contains(&advice.says) {
            wrong.push(format!(
                "{} does not say {:?}: {said}",
                advice.plugin, advice.says
            ));
        }
    }
    wrong
}

/// A judgement as the product writes it.
pub fn name_of(judgement: Judgement) -> &'static str {
    match judgement {
        Judgement::Confirmed => "confirmed",
        Judgement::Suspected => "suspected",
        Judgement::RuledOut => "ruled_out",
        Judgement::Unknown => "unknown",
    }
}

/// All that a plugin's finding shows, in one text.
fn evidence(diagnosis: &Value, plugin: &str) -> String {
    let findings = diagnosis["findings"].as_array();
    let mut findings = findings.into_iter().flatten();
    let Some(finding) = findings.find(|finding| finding["plugin"] == plugin) else {
        return String::new();
    };
    let shown = finding["evidence"].as_array().into_iter().flatten();
    let fields = |one: &Value| {
        ["resource", "field", "value", "meaning"]
            .map(|field| text(&one[field]))
            .join(" ")
    };
    shown.map(fields).collect::<Vec<_>>().join("\n")
}

fn why(diagnosis: &Value, plugin: &str) -> String {
    let all = |list: &str| diagnosis[list].as_array().cloned().unwrap_or_default();
    let of_plugin = |entry: &Value| entry["plugin"] == plugin;
    let finding = all("findings").into_iter().find(of_plugin);
    let failure = all("failures").into_iter().find(of_plugin);
    finding
        .map(|f| f["summary"].to_string())
        .or(failure.map(|f| f["error"].to_string()))
        .unwrap_or_default()
}

/// A plan of a plugin's finding.
///
/// # Errors
/// When none is made.
pub async fn plan_of(
    naosu: &Naosu,
    diagnosis: &Value,
    plugin: &str,
) -> Result<Value, ProductError> {
    let id = text(&diagnosis["id"]);
    naosu
        .json(&["plan", "create", &id, "--plugin", plugin])
        .await
}

/// Whether some step of a plan changes the resource of this name.
pub fn changes(plan: &Value, target: &str) -> bool {
    let target = target.to_ascii_lowercase();
    let steps = plan["content"]["steps"].as_array();
    let mut effects = steps.into_iter().flatten().map(|step| &step["effect"]);
    effects.any(|effect| effect.to_string().to_ascii_lowercase().contains(&target))
}

/// What one walk through a fix showed.
#[derive(Debug)]
pub struct Mending {
    /// The plan, as approved.
    pub plan: Value,
    /// The run, after it was applied.
    pub applied: Value,
    /// Nodes out of reach after it.
    pub unreachable_after: BTreeSet<NodeName>,
    /// The run after it was taken back; nothing when applying did that already, or
    /// when it cannot be, as the product says too.
    pub taken_back: Option<Value>,
    /// Nodes out of reach right then: a connection of an agent outlives the rule
    /// that let it in.
    pub unreachable_taken_back: BTreeSet<NodeName>,
    /// Nodes out of reach at the end, when every agent has connected anew.
    pub unreachable_at_end: BTreeSet<NodeName>,
}

/// Plans the fix of one plugin, has it approved, applies it and takes it back.
///
/// # Errors
/// When the product fails where it should not.
pub async fn mend_and_take_back(
    naosu: &Naosu,
    lab: &Lab,
    diagnosis: &Value,
    fix: &ExpectedFix,
) -> Result<Mending, ProductError> {
    let plan = plan_of(naosu, diagnosis, &fix.plugin).await?;
    let (plan_id, digest) = (text(&plan["id"]), text(&plan["digest"]));
    let plan = approve_fully(naosu, &plan_id, &digest, plan).await?;
    // A run that does not mend ends with an exit code of its own.
    let applied = naosu
        .run(&["apply", &plan_id, "--output", "json"])
        .await?
        .json()?;
    let unreachable_after = unreachable_nodes(lab).await;
    let taken_back = if applied["state"] == "SUCCEEDED" && !fix.reversible {
        let id = text(&applied["id"]);
        let (code, _) = naosu.failure(&["run", "rollback", &id]).await?;
        assert_eq!(code, "run_not_reversible", "{applied:#}");
        None
    } else if applied["state"] == "SUCCEEDED" {
        Some(
            naosu
                .json(&["run", "rollback", &text(&applied["id"])])
                .await?,
        )
    } else {
        None
    };
    let unreachable_taken_back = unreachable_nodes(lab).await;
    let unreachable_at_end = if lab.scenario().expect.tunnel_down {
        connect_anew(lab).await?;
        unreachable_nodes(lab).await
    } else {
        unreachable_taken_back.clone()
    };
    Ok(Mending {
        plan,
        applied,
        unreachable_after,
        taken_back,
        unreachable_taken_back,
        unreachable_at_end,
    })
}

/// Plans a fix of which every step is a person's, has it approved, and shows that
/// Naosu performs none of it: the instructions.
///
/// # Errors
/// When the product fails where it should not.
pub async fn ask_a_person(
    naosu: &Naosu,
    diagnosis: &Value,
    plugin: &str,
) -> Result<Vec<String>, ProductError> {
    let plan = plan_of(naosu, diagnosis, plugin).await?;
    let (id, digest) = (text(&plan["id"]), text(&plan["digest"]));
    let plan = approve_fully(naosu, &id, &digest, plan).await?;
    let (code, finished) = naosu.failure(&["apply", &id]).await?;
    assert_eq!(code, "unsupported", "{finished}");
    let steps = plan["content"]["steps"].as_array();
    Ok(steps
        .into_iter()
        .flatten()
        .map(|step| {
            assert_eq!(step["effect"]["kind"], "manual", "{step:#}");
            text(&step["effect"]["instruction"])
        })
        .collect())
}

/// Time in which an agent that can connect does.
const CONNECT_WITHIN: Duration = Duration::from_millis(1500);

/// Has every agent dial the API server anew. A connection outlives the rule that
/// let it in, in the lab as on Azure: only a new one shows what is in force.
///
/// # Errors
/// When an agent cannot be restarted.
pub async fn connect_anew(lab: &Lab) -> Result<(), ProductError> {
    let plane = lab.data_plane();
    let failed = |reason: DataPlaneError| ProductError::Io {
        what: "restarting the tunnel agents".to_owned(),
        reason: std::io::Error::other(reason.to_string()),
    };
    for agent in plane.agents().await {
        if agent.running {
            plane.stop_agent(&agent.node).await.map_err(failed)?;
            plane.start_agent(&agent.node).await.map_err(failed)?;
        }
    }
    tokio::time::sleep(CONNECT_WITHIN).await;
    Ok(())
}

/// Moments at which a run asks the tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Before the first step.
    Before,
    /// At its verification.
    After,
    /// After everything was taken back.
    TakenBack,
}

/// Nodes that a run's own probe did not reach, or not always, at a moment;
/// nothing where the run did not ask then.
pub fn unreached(run: &Value, moment: Moment) -> Option<BTreeSet<NodeName>> {
    let is_it = |event: &&Value| match moment {
        Moment::Before => event["kind"] == "probed" && event["way"] == "forward",
        Moment::After => event["kind"] == "verified",
        Moment::TakenBack => event["kind"] == "probed" && event["way"] == "back",
    };
    let entries = run["entries"].as_array()?;
    let event = entries.iter().map(|entry| &entry["event"]).find(is_it)?;
    let others = event["tunnel"]["others"].as_array()?;
    let unreached = others
        .iter()
        .filter(|other| other["answer"] != "kubelet_fault");
    Some(
        unreached
            .map(|other| NodeName(text(&other["node"])))
            .collect(),
    )
}

/// Approves, as many persons as the plan needs.
///
/// # Errors
/// When the product fails where it should not.
pub async fn approve_fully(
    naosu: &Naosu,
    id: &str,
    digest: &str,
    mut plan: Value,
) -> Result<Value, ProductError> {
    let needed = plan["content"]["approvals_needed"].as_u64().unwrap_or(1);
    for _ in 0..needed {
        plan = naosu
            .json(&["plan", "approve", id, "--digest", digest])
            .await?;
        if plan["state"] == "APPROVED" {
            break;
        }
    }
    Ok(plan)
}

/// A JSON string's text; empty for anything else.
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
