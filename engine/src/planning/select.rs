//! Which finding a plan is made of.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    error::{Code, Error},
    model::{Diagnosis, Finding, Judgement},
    plugin::Plugin,
};

/// The finding of `wanted`, or the first confirmed one with a feasible fix, and
/// its plugin. What is only suspected is mended where its plugin is wanted by name.
///
/// # Errors
/// `finding_not_found`, `plugin_not_found`, `nothing_to_do`, `infeasible_here`.
pub fn select<'a>(
    diagnosis: &'a Diagnosis,
    wanted: Option<&str>,
    plugins: &'a BTreeMap<String, Arc<dyn Plugin>>,
) -> Result<(&'a Finding, &'a Arc<dyn Plugin>), Error> {
    let has_fix = |p: &Arc<dyn Plugin>| !p.info().effects.is_empty();
    let Some(wanted) = wanted else {
        let mendable = |sure: Judgement| {
            let findings = diagnosis.findings.iter();
            let of_this = findings.filter(move |f| f.judgement == sure && f.infeasible.is_none());
            of_this.filter_map(|finding| {
                let plugin = plugins.get(&finding.plugin).filter(|p| has_fix(p))?;
                Some((finding, plugin))
            })
        };
        return mendable(Judgement::Confirmed).next().ok_or_else(|| {
            let suspected = mendable(Judgement::Suspected);
            nothing_confirmed(diagnosis, suspected.map(|(finding, _)| finding))
        });
    };
    let plugin = plugins.get(wanted).ok_or_else(|| not_loaded(wanted))?;
    let finding = diagnosis
        .findings
        .iter()
        .find(|f| f.plugin == wanted)
        .ok_or_else(|| {
            Error::new(
                Code::FindingNotFound,
                format!("{} has no finding of plugin {wanted}", diagnosis.id.0),
                "diagnose again with this plugin",
            )
        })?;
    if let Some(why) = &finding.infeasible {
        return Err(Error::new(
            Code::InfeasibleHere,
            format!("{wanted} cannot mend this cluster: {why}"),
            "do what the finding proposes instead",
        ));
    }
    if !has_fix(plugin) {
        return Err(nothing(
            format!("{wanted} gives advice only"),
            "follow the finding's evidence",
        ));
    }
    match finding.judgement {
        Judgement::Confirmed | Judgement::Suspected => Ok((finding, plugin)),
        Judgement::RuledOut => Err(nothing(
            format!("{} is ruled out: {}", finding.cause, finding.summary),
            "plan for another finding",
        )),
        Judgement::Unknown => Err(nothing(
            format!("{} is not known: {}", finding.cause, finding.summary),
            "see that what decides can be read, then diagnose again",
        )),
    }
}

/// The error for a plugin that is not there.
pub fn not_loaded(id: &str) -> Error {
    Error::new(
        Code::PluginNotFound,
        format!("no plugin {id:?} is loaded"),
        "`naosu plugin list` shows the loaded ones",
    )
}

/// The error where no confirmed finding can be mended, with those that are suspected
/// and can.
fn nothing_confirmed<'a>(
    diagnosis: &Diagnosis,
    suspected: impl Iterator<Item = &'a Finding>,
) -> Error {
    let none = format!(
        "{} has no confirmed finding that can be mended",
        diagnosis.id.0
    );
    let plugins: Vec<&str> = suspected.map(|f| f.plugin.as_str()).collect();
    if plugins.is_empty() {
        return nothing(
            none,
            "read the findings: no suspected one can be mended by a plan either",
        );
    }
    let plugins = plugins.join(", ");
    nothing(
        format!("{none}; suspected by {plugins}"),
        &format!("read that evidence; to plan for a suspected finding name its plugin: {plugins}"),
    )
}

fn nothing(message: String, next: &str) -> Error {
    Error::new(Code::NothingToDo, message, next)
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use serde_json::{Map, Value, json};

    use super::*;
    use crate::{
        model::{ClusterId, PluginInfo, Symptom},
        plugin::{Proposal, ProposedStep, Reads, Verdict},
    };

    /// A plugin that is only asked what it is.
    struct Named(PluginInfo);

    #[async_trait]
    impl Plugin for Named {
        fn info(&self) -> &PluginInfo {
            &self.0
        }

        async fn diagnose(
            &self,
            _: &ClusterId,
            _: &Symptom,
            _: Arc<dyn Reads>,
        ) -> Result<Finding, Error> {
            Err(not_loaded(&self.0.id))
        }

        async fn plan(
            &self,
            _: &ClusterId,
            _: &Finding,
            _: &Map<String, Value>,
            _: Arc<dyn Reads>,
        ) -> Result<Proposal, Error> {
            Err(not_loaded(&self.0.id))
        }

        async fn verify(
            &self,
            _: &ClusterId,
            _: &Finding,
            _: &[ProposedStep],
            _: Arc<dyn Reads>,
        ) -> Result<Verdict, Error> {
            Err(not_loaded(&self.0.id))
        }
    }

    fn plugins() -> BTreeMap<String, Arc<dyn Plugin>> {
        let plugin = |id: &str, effects: Value| {
            let info = serde_json::from_value(json!({
                "id": id, "version": "1", "digest": format!("sha256:{}", "0".repeat(64)),
                "contract": "c", "cause": "c", "summary": "s", "fix": "f", "parameters": [],
                "capabilities": [], "effects": effects, "imports": [], "source": "test",
            }));
            let plugin: Arc<dyn Plugin> = Arc::new(Named(info.unwrap()));
            (id.to_owned(), plugin)
        };
        let mends = || json!(["nsg_rule_create"]);
        BTreeMap::from([
            plugin("locked", mends()),
            plugin("mends", mends()),
            plugin("mends-too", mends()),
            plugin("only-advises", json!([])),
        ])
    }

    /// A diagnosis with a finding of each plugin: its judgement, and whether it can
    /// be mended.
    fn diagnosis(found: &[(&str, Judgement, bool)]) -> Diagnosis {
        let finding = |(plugin, judgement, can_be): &(&str, Judgement, bool)| {
            json!({
                "plugin": plugin, "cause": "c", "judgement": judgement, "summary": "s",
                "evidence": [], "required_flows": [], "subject": {},
                "infeasible": (!can_be).then_some("it is locked down"),
            })
        };
        let time = "2026-01-02T03:04:05Z";
        serde_json::from_value(json!({
            "id": "dia-1",
            "cluster": "/subscriptions/s/resourceGroups/g/providers/\
                        Microsoft.ContainerService/managedClusters/aks",
            "symptom": { "text": "", "nodes": [] },
            "requester": { "name": "alice", "is_assistant": false },
            "started_at": time, "finished_at": time, "failures": [],
            "findings": found.iter().map(finding).collect::<Vec<_>>(),
            "observations_digest": format!("sha256:{}", "0".repeat(64)),
        }))
        .unwrap()
    }

    fn refusal(diagnosis: &Diagnosis, plugins: &BTreeMap<String, Arc<dyn Plugin>>) -> Error {
        let selected = select(diagnosis, None, plugins);
        let error = selected.err().unwrap();
        assert_eq!(error.code, Code::NothingToDo);
        error
    }

    #[test]
    fn where_nothing_is_confirmed_the_refusal_names_the_plugins_that_can_mend_a_suspicion() {
        let plugins = plugins();
        let diagnosis = diagnosis(&[
            ("mends", Judgement::Suspected, true),
            ("mends-too", Judgement::Suspected, true),
            ("only-advises", Judgement::Suspected, true),
            ("locked", Judgement::Suspected, false),
        ]);
        let error = refusal(&diagnosis, &plugins);
        for text in [&error.message, &error.next] {
            assert!(text.ends_with(" mends, mends-too"), "{text}");
        }
        let (finding, _) = select(&diagnosis, Some("mends-too"), &plugins).unwrap();
        assert_eq!(finding.plugin, "mends-too");
    }

    #[test]
    fn where_no_suspicion_can_be_mended_either_no_plugin_is_named() {
        let plugins = plugins();
        let diagnosis = diagnosis(&[
            ("mends", Judgement::Unknown, true),
            ("mends-too", Judgement::RuledOut, true),
            ("only-advises", Judgement::Suspected, true),
            ("locked", Judgement::Confirmed, false),
        ]);
        let error = refusal(&diagnosis, &plugins);
        assert!(error.next.contains("no suspected one"), "{error:?}");
        let said = format!("{} {}", error.message, error.next);
        assert!(plugins.keys().all(|id| !said.contains(id)), "{said}");
    }

    #[test]
    fn a_confirmed_finding_comes_before_what_is_suspected() {
        let plugins = plugins();
        let diagnosis = diagnosis(&[
            ("only-advises", Judgement::Confirmed, true),
            ("mends", Judgement::Confirmed, true),
            ("mends-too", Judgement::Suspected, true),
        ]);
        let (finding, _) = select(&diagnosis, None, &plugins).unwrap();
        assert_eq!(finding.plugin, "mends");
    }
}
