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
    pub fn add_plan(&mut self, plugin: &str, plan: &Value) {
        let steps = plan["content"]["steps"].as_array();
        let steps = steps.map(Vec::as_slice).unwrap_or_default();
        if steps.is_empty() {
            return;
        }
        self.add(plugin, Phase::Plan);
        let is_shown = |step: &Value| {
            let request = step["dry_run"]["request"].as_str();
            request.is_some_and(|request| !request.is_empty())
        };
        if steps.iter().all(is_shown) {
            self.add(plugin, Phase::DryRun);
        }
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
    use super::*;

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
