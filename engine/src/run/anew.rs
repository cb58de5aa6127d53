//! What a step does, computed anew right before it: what its packets depend on
//! beside its own target may have changed since the plan was approved.

use std::{collections::BTreeSet, sync::Arc};

use futures::FutureExt;

use super::step::{READS_AT_MOST, Subject, shutting_down};
use crate::{
    effect::{
        caution::{self, Caution},
        facts::ClusterFacts,
    },
    error::{Code, Error},
    model::{Delta, Observation, ObserveErrorKind, Step},
    planning::assessment::{Assessment, assess},
    plugin::Reads,
    snapshot::Snapshot,
};

/// How many lines a message tells of what differs.
const LINES_TOLD: usize = 5;

impl Subject<'_> {
    /// Whether the step still does exactly what was approved, judged by the code
    /// that planned it, from fresh reads.
    ///
    /// # Errors
    /// `drift`, telling what is different; `shutting_down`.
    pub(super) async fn require_same_consequence(
        &self,
        step: &Step,
        observed: &Arc<Observation>,
    ) -> Result<(), Error> {
        let mut tries = 1;
        loop {
            // The target is what the write is fenced by; it is not read twice.
            let reads = Snapshot::live(
                self.content.cluster.clone(),
                Arc::clone(&self.tools.observer),
                Arc::clone(&self.tools.clock),
            )
            .with_recorded([Arc::clone(observed)]);
            let different = tokio::select! {
                different = self.different(step, observed, &reads).boxed() => different,
                () = self.shutdown.cancelled() => return Err(shutting_down()),
            };
            let Some(different) = different else {
                return Ok(());
            };
            let unread = unread(&reads.observations());
            if unread.is_empty() || tries >= READS_AT_MOST {
                return Err(no_longer(step, &different, &unread));
            }
            if !self.pause(self.tools.settings.retry_pause).await {
                return Err(shutting_down());
            }
            tries += 1;
        }
    }

    /// What is different by now, in words.
    async fn different(
        &self,
        step: &Step,
        observed: &Observation,
        reads: &Snapshot,
    ) -> Option<String> {
        let facts = reads
            .read(&ClusterFacts::query(&self.content.cluster))
            .await;
        let facts = match ClusterFacts::of(&facts) {
            Ok(facts) => facts,
            Err(error) => return Some(format!("the cluster cannot be judged: {error}")),
        };
        let needed = &self.content.finding.required_flows;
        let now = match assess(&step.effect, observed, needed, &facts, reads).await {
            Ok(Assessment { delta, .. }) => delta,
            Err(error) => return Some(error.message),
        };
        if let Some(packets) = other_packets(&step.delta, &now) {
            return Some(packets);
        }
        // With the same packets, only the cluster makes a difference.
        let judged = |facts| caution::assess(&step.effect, facts, &step.inverse, &step.delta);
        match (judged(self.facts), judged(&facts)) {
            (Ok(then), Ok(now)) => other_cautions(&then, &now),
            (_, Err(error)) | (Err(error), _) => Some(error.message),
        }
    }
}

/// How the packets differ, in words.
fn other_packets(then: &Delta, now: &Delta) -> Option<String> {
    match (then, now) {
        (Delta::NotAFirewall, Delta::NotAFirewall) => None,
        (Delta::Unknown { error: then }, Delta::Unknown { error: now }) => (then.code != now.code)
            .then(|| {
                format!(
                    "which packets it changes is not known for another reason: {}",
                    now.message
                )
            }),
        (
            Delta::Computed {
                report: then,
                excess: excess_then,
            },
            Delta::Computed {
                report: now,
                excess: excess_now,
            },
        ) => {
            // Why something is not known is said in a peer's words, which may vary.
            let is_same = then.newly_allowed == now.newly_allowed
                && then.newly_denied == now.newly_denied
                && then.unknown == now.unknown
                && excess_then == excess_now;
            (!is_same).then(|| lines(&then.words, &now.words))
        }
        (_, Delta::Unknown { error }) => Some(format!(
            "which packets it changes can no longer be computed: {}",
            error.message
        )),
        (_, Delta::Computed { report, .. }) => Some(format!(
            "which packets it changes was not known, and is now: {}",
            told(report.words.iter().map(String::as_str))
        )),
        (_, Delta::NotAFirewall) => Some("it changes no packets any more".to_owned()),
    }
}

fn other_cautions(then: &Caution, now: &Caution) -> Option<String> {
    let messages = |caution: &Caution| {
        let warnings = caution.warnings.iter();
        warnings.map(|w| w.message.clone()).collect::<Vec<_>>()
    };
    if then.warnings != now.warnings {
        return Some(lines(&messages(then), &messages(now)));
    }
    (then.risk != now.risk).then(|| format!("its risk was {:?}, and is {:?}", then.risk, now.risk))
}

/// What is said now and was not, and what was said and is not.
fn lines(then: &[String], now: &[String]) -> String {
    let then: BTreeSet<&str> = then.iter().map(String::as_str).collect();
    let now: BTreeSet<&str> = now.iter().map(String::as_str).collect();
    let mut parts = Vec::new();
    if now.difference(&then).next().is_some() {
        let new = told(now.difference(&then).copied());
        parts.push(format!("not approved was {new}"));
    }
    if then.difference(&now).next().is_some() {
        let gone = told(then.difference(&now).copied());
        parts.push(format!("approved was {gone}, which is no longer so"));
    }
    if parts.is_empty() {
        parts.push("it concerns packets that are told by the same words".to_owned());
    }
    parts.join("; ")
}

fn told<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    let all: Vec<&str> = lines.collect();
    let shown: Vec<String> = all
        .iter()
        .take(LINES_TOLD)
        .map(|line| format!("{line:?}"))
        .collect();
    let more = all.len().saturating_sub(LINES_TOLD);
    match (shown.is_empty(), more) {
        (true, _) => "nothing".to_owned(),
        (_, 0) => shown.join(", "),
        _ => format!("{} and {more} more", shown.join(", ")),
    }
}

/// What could not be read for now, and may be at the next try.
fn unread(observations: &[Arc<Observation>]) -> Vec<String> {
    let failed = observations.iter().filter_map(|observation| {
        let error = observation.answer.as_ref().err()?;
        let passes = matches!(
            error.kind,
            ObserveErrorKind::Unavailable | ObserveErrorKind::Truncated
        );
        passes.then(|| format!("{} ({})", observation.query, error.message))
    });
    failed.collect()
}

fn no_longer(step: &Step, different: &str, unread: &[String]) -> Error {
    let unread = if unread.is_empty() {
        String::new()
    } else {
        format!("; not read was {}", unread.join(", "))
    };
    Error::new(
        Code::Drift,
        format!(
            "what {:?} would do is no longer what was approved: {different}{unread}",
            step.title
        ),
        "diagnose again and make a new plan",
    )
}
