//! Effects on a node: each compares and writes in one script.

mod iptables;
mod specification;
mod ufw;

use naosu_engine::{
    driver::{PerformError, Performed},
    error::{Code, Error},
    model::{ClusterId, DryRun, Effect, Observation},
};
use serde::de::DeserializeOwned;

use super::{Finished, NodeDriver, NodeError, script::Script};
use crate::drivers::text::{MESSAGE_LIMIT, printable};

/// It is like that already.
const ALREADY: i32 = 10;
/// It changed since it was read.
const DRIFT: i32 = 11;
/// Refused before anything was changed.
const REFUSED: i32 = 12;
/// The node has no way to try it without doing it.
const NO_DRY_RUN: i32 = 14;

/// What an effect comes to on a node.
struct Planned {
    node: String,
    script: Script,
    /// The command line, for a person.
    request: String,
    before: String,
    /// The state afterwards, where the host knows it.
    after: Option<String>,
}

/// The script of an effect; `None` when the effect is not a node's.
fn plan(effect: &Effect, before: &Observation, dry: bool) -> Option<Result<Planned, Error>> {
    Some(match effect {
        Effect::UfwRuleInsert(rule) => ufw::insert(rule, before, dry),
        Effect::UfwRuleDelete(rule) => ufw::delete(rule, before, dry),
        Effect::UfwEnable { node } => ufw::switch(node, true, before, dry),
        Effect::UfwDisable { node } => ufw::switch(node, false, before, dry),
        Effect::IptablesRuleInsert(rule) => iptables::insert(rule, before, dry),
        Effect::IptablesRuleDelete(rule) => iptables::delete(rule, before, dry),
        _ => return None,
    })
}

impl NodeDriver {
    /// Performs an effect on a node; `None` when it is not a node's.
    pub async fn perform(
        &self,
        cluster: &ClusterId,
        effect: &Effect,
        before: &Observation,
    ) -> Option<Result<Performed, PerformError>> {
        let planned = match plan(effect, before, false)? {
            Ok(planned) => planned,
            Err(error) => return Some(Err(PerformError::NotApplied(error))),
        };
        tracing::info!(
            node = planned.node,
            request = planned.request,
            "writing to a node"
        );
        Some(
            self.run_on(cluster, &planned, before, false)
                .await
                .and_then(|finished| verdict(&planned, &finished))
                .map(|already_in_place| Performed {
                    already_in_place,
                    detail: planned.request.clone(),
                })
                .map_err(PerformError::from),
        )
    }

    /// The node's own dry run; `None` when the effect is not a node's.
    ///
    /// # Errors
    /// What the node would refuse the effect with.
    pub async fn dry_run(
        &self,
        cluster: &ClusterId,
        effect: &Effect,
        before: &Observation,
    ) -> Option<Result<Option<DryRun>, Error>> {
        let planned = match plan(effect, before, true)? {
            Ok(planned) => planned,
            Err(error) => return Some(Err(error)),
        };
        let finished = match self.run_on(cluster, &planned, before, true).await {
            Ok(finished) => finished,
            Err(error) => return Some(Err(error.into())),
        };
        // The host's simulation stands, and says that it is one.
        if finished.exit == NO_DRY_RUN {
            return Some(Ok(None));
        }
        Some(match verdict(&planned, &finished) {
            Err(error) => Err(error.into()),
            Ok(true) => Ok(None),
            Ok(false) => {
                let said = finished
                    .section("ufw")
                    .map(|section| section.stdout.clone())
                    .unwrap_or_default();
                Ok(Some(DryRun {
                    by: "system".to_owned(),
                    request: planned.request,
                    body: None,
                    before: planned.before,
                    after: planned.after.unwrap_or(said),
                }))
            }
        })
    }
}

impl NodeDriver {
    async fn run_on(
        &self,
        cluster: &ClusterId,
        planned: &Planned,
        before: &Observation,
        repeatable: bool,
    ) -> Result<Finished, NodeError> {
        let instance = self.locate_again(cluster, &planned.node, before).await?;
        let script = planned.script.clone();
        self.run(&planned.node, &instance, script, repeatable).await
    }
}

/// Whether it was in place already, or why it failed.
fn verdict(planned: &Planned, finished: &Finished) -> Result<bool, NodeError> {
    let node = planned.node.clone();
    let complaint = || {
        let mut text = finished.errors().to_owned();
        for section in &finished.sections {
            if section.exit.is_some_and(|exit| exit != 0) {
                text.push_str(&section.stdout);
                text.push_str(&section.stderr);
            }
        }
        printable(&text, MESSAGE_LIMIT)
    };
    match finished.exit {
        0 => Ok(ufw::changed_nothing(finished)),
        ALREADY => Ok(true),
        DRIFT => Err(NodeError::Drift {
            node,
            reason: complaint(),
        }),
        exit => Err(NodeError::Failed {
            node,
            what: planned.request.clone(),
            exit,
            stderr: complaint(),
            unchanged: exit == REFUSED,
        }),
    }
}

/// What was read of the node, as JSON of a type.
fn observed<T: DeserializeOwned>(before: &Observation) -> Result<T, Error> {
    let text = before.answer.as_ref().map_err(|error| {
        Error::new(
            error.code,
            format!("{}: {}", before.query, error.message),
            "see that it can be read, then plan again",
        )
    })?;
    serde_json::from_str(text).map_err(|error| {
        Error::new(
            Code::RulesetMalformed,
            format!("{}: {error}", before.query),
            "diagnose and plan again",
        )
    })
}

fn sha256(text: &str) -> String {
    use sha2::{Digest as _, Sha256};
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
