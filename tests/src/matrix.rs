//! What each plugin is taken through, on which scenarios: promised by the
//! scenario files, held to by every walk, and shown in the README.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use naosu_lab::scenario::Expectations;
use serde_json::Value;

use crate::mending::{Mending, judgements, name_of, plugins_of};

/// A part of the way of a plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// It found its cause, confirmed or suspected.
    Find,
    /// It ruled its cause out.
    RuleOut,
    /// It said that it cannot know.
    NotKnow,
    /// A plan with steps was made of its finding.
    Plan,
    /// Each step was shown as it would be sent.
    DryRun,
    /// Each step was performed.
    Apply,
    /// Plugin and tunnel were asked whether it helped.
    Verify,
    /// Each step was taken back.
    RollBack,
    /// There was nothing that it could do, and it said why.
    Refuse,
}

impl Phase {
    const ALL: [(Self, &str); 9] = [
        (Self::Find, "found"),
        (Self::RuleOut, "ruled out"),
        (Self::NotKnow, "not known"),
        (Self::Plan, "plan"),
        (Self::DryRun, "dry run"),
        (Self::Apply, "apply"),
        (Self::Verify, "verify"),
        (Self::RollBack, "roll back"),
        (Self::Refuse, "refuse"),
    ];

    /// The phase that ends with a judgement; nothing for what is none.
    fn of_judgement(judgement: &str) -> Option<Self> {
        Some(match judgement {
            "confirmed" | "suspected" => Self::Find,
            "ruled_out" => Self::RuleOut,
            "unknown" => Self::NotKnow,
            _ => return None,
        })
    }
}

/// The phases that plugins went through on one scenario.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Walked(BTreeMap<String, BTreeSet<Phase>>);

impl Walked {
    /// A plugin went through a phase.
    pub fn add(&mut self, plugin: &str, phase: Phase) {
        self.0.entry(plugin.to_owned()).or_default().insert(phase);
    }

    /// Every plugin with a finding in a diagnosis.
    pub fn add_diagnosis(&mut self, diagnosis: &Value) {
        for (plugin, judgement) in judgements(diagnosis) {
            if let Some(phase) = Phase::of_judgement(&judgement) {
                self.add(&plugin, phase);
            }
        }
    }

    /// What a plan shows.
    ///
    /// # Panics
    /// When a step does not say rightly who made its dry run.
    pub fn add_plan(&mut self, plugin: &str, plan: &Value) {
        let steps = plan["content"]["steps"].as_array();
        let steps = steps.map(Vec::as_slice).unwrap_or_default();
        if steps.is_empty() {
            return;
        }
        self.add(plugin, Phase::Plan);
        for (index, step) in steps.iter().enumerate() {
            let warnings = &plan["content"]["warnings"];
            if let Err(why) =
                require_dry_run(step, steps.get(..index).unwrap_or_default(), warnings)
            {
                panic!("{plugin}, step {}: {why}\n{step:#}", index + 1);
            }
        }
        self.add(plugin, Phase::DryRun);
    }

    /// What the plan and the journal of a mending show, and no more.
    pub fn add_mending(&mut self, plugin: &str, mending: &Mending) {
        self.add_plan(plugin, &mending.plan);
        let steps = mending.plan["content"]["steps"].as_array();
        let steps = steps.map_or(0, Vec::len);
        if steps == 0 {
            return;
        }
        let last = mending.taken_back.as_ref().unwrap_or(&mending.applied);
        let events: Vec<&Value> = last["entries"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|entry| &entry["event"])
            .collect();
        let went = |way: &str| {
            (0..steps).all(|step| {
                events.iter().any(|event| {
                    event["kind"] == "applied" && event["way"] == way && event["step"] == step
                })
            })
        };
        if went("forward") {
            self.add(plugin, Phase::Apply);
        }
        if events.iter().any(|event| event["kind"] == "verified") {
            self.add(plugin, Phase::Verify);
        }
        if went("back") && last["state"] == "ROLLED_BACK" {
            self.add(plugin, Phase::RollBack);
        }
    }
}

/// Kinds of effects that a system can try: `ufw --dry-run`, `iptables-restore --test`
/// and `dryRun=All` of Kubernetes. The host simulates the others.
const TRIED_BY_SYSTEMS: [&str; 10] = [
    "ufw_rule_insert",
    "ufw_rule_delete",
    "ufw_enable",
    "ufw_disable",
    "iptables_rule_insert",
    "iptables_rule_delete",
    "pod_evict",
    "rollout_restart",
    "config_map_set",
    "kubernetes_patch",
];

/// Whether a step was tried by whoever can, and shown as it would be sent.
///
/// # Errors
/// With what is wrong.
fn require_dry_run(step: &Value, earlier: &[Value], warnings: &Value) -> Result<(), String> {
    let kind = step["effect"]["kind"].as_str().unwrap_or_default();
    let shown = &step["dry_run"];
    if shown["request"].as_str().unwrap_or_default().is_empty() {
        return Err("no request is shown".to_owned());
    }
    // No system can try a step on what another step is still to make of its target.
    let target = &step["precondition"]["query"];
    let comes_first = earlier
        .iter()
        .all(|other| other["precondition"]["query"] != *target);
    // Nor an eviction that a disruption budget forbids for now.
    let mut warnings = warnings.as_array().into_iter().flatten();
    let must_wait = kind == "pod_evict" && warnings.any(|w| w["code"] == "disruption_budget");
    let by = match TRIED_BY_SYSTEMS.contains(&kind) && comes_first && !must_wait {
        true => "system",
        false => "simulated",
    };
    if shown["by"] != by {
        return Err(format!("its dry run is by {}, not {by}", shown["by"]));
    }
    let is_arm = target["kind"] == "azure_get";
    if is_arm && !shown["body"].is_object() {
        return Err("the body of the request is not shown".to_owned());
    }
    Ok(())
}

/// What a walk through a scenario has to show of the plugins that there are.
pub fn promised(expect: &Expectations, loaded: &BTreeSet<String>) -> Walked {
    let mut walked = Walked::default();
    for (cause, judgement) in &expect.findings {
        for plugin in plugins_of(*cause).iter().filter(|p| loaded.contains(**p)) {
            let judgement = expect.plugins.get(*plugin).unwrap_or(judgement);
            if let Some(phase) = Phase::of_judgement(name_of(*judgement)) {
                walked.add(plugin, phase);
            }
        }
    }
    for fix in expect.fixes.iter().filter(|f| loaded.contains(&f.plugin)) {
        if fix.infeasible.is_some() {
            walked.add(&fix.plugin, Phase::Refuse);
            continue;
        }
        if fix.manual.is_some() {
            walked.add(&fix.plugin, Phase::Plan);
            continue;
        }
        for phase in [Phase::Plan, Phase::DryRun] {
            walked.add(&fix.plugin, phase);
        }
        if fix.planned_only {
            continue;
        }
        for phase in [Phase::Apply, Phase::Verify] {
            walked.add(&fix.plugin, phase);
        }
        if fix.reversible {
            walked.add(&fix.plugin, Phase::RollBack);
        }
    }
    for advice in expect.advice.iter().filter(|a| loaded.contains(&a.plugin)) {
        walked.add(&advice.plugin, Phase::Refuse);
    }
    walked
}

const BEGIN: &str = "<!-- Made by `make matrix` from the scenarios that the tests walk. -->\n";
const END: &str = "<!-- End of what `make matrix` makes. -->\n";

/// The matrix in words: how many scenarios take a plugin through a phase, and
/// which.
pub fn render(scenarios: &BTreeMap<&str, Walked>) -> String {
    let plugins: BTreeSet<&String> = scenarios.values().flat_map(|w| w.0.keys()).collect();
    let with = |plugin: &str, phase: Phase| -> Vec<&str> {
        scenarios
            .iter()
            .filter(|(_, walked)| walked.0.get(plugin).is_some_and(|p| p.contains(&phase)))
            .map(|(name, _)| *name)
            .collect()
    };
    let mut text = String::from("| plugin |");
    for (_, title) in Phase::ALL {
        let _ = write!(text, " {title} |");
    }
    text.push_str("\n|---|");
    text.push_str(&"---:|".repeat(Phase::ALL.len()));
    text.push('\n');
    for plugin in &plugins {
        let _ = write!(text, "| `{plugin}` |");
        for (phase, _) in Phase::ALL {
            match with(plugin, phase).len() {
                0 => text.push_str(" – |"),
                count => {
                    let _ = write!(text, " {count} |");
                }
            }
        }
        text.push('\n');
    }
    text.push_str("\n<details><summary>The scenarios</summary>\n\n");
    text.push_str("| plugin | applied and taken back on | refused on |\n|---|---|---|\n");
    for plugin in &plugins {
        let names = |phase| match with(plugin, phase) {
            names if names.is_empty() => "–".to_owned(),
            names => names.join(", "),
        };
        let (applied, refused) = (names(Phase::Apply), names(Phase::Refuse));
        let _ = writeln!(text, "| `{plugin}` | {applied} | {refused} |");
    }
    text.push_str("\n</details>\n");
    text
}

/// A document with the matrix in its place.
///
/// # Errors
/// When it has no place for it.
pub fn placed(document: &str, matrix: &str) -> Result<String, String> {
    let missing = || format!("README.md has no lines {BEGIN:?} and {END:?}");
    let (before, rest) = document.split_once(BEGIN).ok_or_else(missing)?;
    let (_, after) = rest.split_once(END).ok_or_else(missing)?;
    Ok(format!("{before}{BEGIN}\n{matrix}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn step(kind: &str, target: Value, by: &str) -> Value {
        json!({
            "effect": { "kind": kind },
            "precondition": { "query": target },
            "dry_run": { "by": by, "request": "what is sent", "body": {} },
        })
    }

    #[test]
    fn a_dry_run_is_the_systems_own_wherever_it_has_one() {
        let node = || json!({ "kind": "node", "node": "a" });
        let arm = || json!({ "kind": "azure_get", "resource": "/nsg" });
        let none = Value::Null;
        let is_right = |step: &Value| require_dry_run(step, &[], &none).is_ok();
        for kind in TRIED_BY_SYSTEMS {
            assert!(is_right(&step(kind, node(), "system")), "{kind}");
            assert!(!is_right(&step(kind, node(), "simulated")), "{kind}");
        }
        for kind in [
            "nsg_rule_create",
            "firewall_rule_add",
            "network_profile_set",
        ] {
            assert!(is_right(&step(kind, arm(), "simulated")), "{kind}");
            assert!(!is_right(&step(kind, arm(), "system")), "{kind}");
        }
        // What is not there yet no system can try.
        let first = step("ufw_rule_insert", node(), "system");
        let second = step("ufw_rule_insert", node(), "simulated");
        assert!(require_dry_run(&second, std::slice::from_ref(&first), &none).is_ok());
        assert!(require_dry_run(&first, std::slice::from_ref(&first), &none).is_err());
        let budget = json!([{ "code": "disruption_budget" }]);
        let waiting = step("pod_evict", json!({}), "simulated");
        assert!(require_dry_run(&waiting, &[], &budget).is_ok());
        // Nothing shown is no dry run.
        for field in ["request", "body"] {
            let mut bare = step("nsg_rule_create", arm(), "simulated");
            bare["dry_run"][field] = Value::Null;
            assert!(!is_right(&bare), "{field}");
        }
    }

    #[test]
    fn the_matrix_counts_what_was_walked_and_takes_its_place_alone() {
        let mut walked = Walked::default();
        walked.add("a", Phase::Find);
        walked.add("a", Phase::Apply);
        walked.add("b", Phase::RuleOut);
        let matrix = render(&BTreeMap::from([("one", walked.clone()), ("two", walked)]));
        assert!(
            matrix.contains("| `a` | 2 | – | – | – | – | 2 | – | – | – |\n"),
            "{matrix}"
        );
        assert!(matrix.contains("| `a` | one, two | – |\n"), "{matrix}");
        assert!(matrix.contains("| `b` | – | – |\n"), "{matrix}");
        let document = format!("x\n{BEGIN}old\n{END}y\n");
        let once = placed(&document, &matrix).unwrap();
        assert!(once.starts_with("x\n") && once.ends_with("y\n") && !once.contains("old"));
        assert_eq!(placed(&once, &matrix).unwrap(), once);
        assert!(placed("nothing", &matrix).is_err());
    }
}
