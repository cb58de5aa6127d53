//! From a finding to a plan: the plugin proposes, the host decides what the
//! steps mean, whether they are allowed and what they would do.
//!
//! Everything from outside comes through the snapshot and the dry runs, both of
//! which are recorded, so that the same plan can be derived again.

pub mod assessment;
pub mod chain;
mod dry_runs;
mod select;

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value};

pub use dry_runs::DryRuns;
pub use select::{not_loaded, select};

use self::{assessment::Assessment, chain::Chain};
use crate::{
    effect::{self, Standing, State, caution, facts::ClusterFacts},
    error::{Code, Error},
    model::{
        Diagnosis, Effect, Finding, Precondition, Principal, Risk, Step, Warning,
        observations_digest, plan::PlanContent,
    },
    plugin::{Plugin, ProposedStep, Reads, parameters},
    policy::Policy,
    snapshot::Snapshot,
};

/// How many steps a plan may have; more is a plugin gone astray.
const STEPS_AT_MOST: usize = 1_000;

/// What a plan is made of.
#[derive(Clone, Copy)]
pub struct Derivation<'a> {
    /// The diagnosis whose finding is mended.
    pub diagnosis: &'a Diagnosis,
    /// The finding.
    pub finding: &'a Finding,
    /// The plugin that judged it.
    pub plugin: &'a dyn Plugin,
    /// Parameters as given.
    pub parameters: &'a Map<String, Value>,
    /// Who asks.
    pub requester: &'a Principal,
    /// When.
    pub created_at: Timestamp,
    /// The policy in force.
    pub policy: &'a Policy,
}

/// Derives a plan.
///
/// # Errors
/// `invalid_parameter`, `infeasible_here`, `nothing_to_do`, `plugin_misbehaved`
/// or whatever the plugin or a read fails with.
pub async fn derive(
    from: Derivation<'_>,
    snapshot: &Arc<Snapshot>,
    dry_runs: &mut DryRuns,
) -> Result<PlanContent, Error> {
    let reads: Arc<dyn Reads> = Arc::clone(snapshot) as Arc<dyn Reads>;
    let info = from.plugin.info();
    let cluster = &from.diagnosis.cluster;
    let parameters = parameters::complete(info, from.parameters)?;
    let facts = reads.read(&ClusterFacts::query(cluster)).await;
    let facts = ClusterFacts::of(&facts)?;
    let proposal = from
        .plugin
        .plan(cluster, from.finding, &parameters, Arc::clone(&reads))
        .await?;
    if proposal.steps.is_empty() {
        return Err(Error::new(
            Code::NothingToDo,
            format!("{} proposes no step: {}", info.id, proposal.summary),
            "read the finding; it says what can be done",
        ));
    }
    if proposal.steps.len() > STEPS_AT_MOST {
        return Err(Error::new(
            Code::InfeasibleHere,
            format!(
                "{} would take {} steps, and a plan has at most {STEPS_AT_MOST}",
                info.id,
                proposal.steps.len()
            ),
            "mend it where all nodes get it from, such as the node image, a DaemonSet or a script \
             extension, and diagnose again",
        ));
    }
    let mut warnings: Vec<Warning> = proposal
        .warnings
        .into_iter()
        .map(|message| Warning {
            code: "plugin".to_owned(),
            message,
        })
        .chain(caution::of_cluster(&facts))
        .collect();
    let mut chain = Chain::default();
    let mut steps = Vec::with_capacity(proposal.steps.len());
    for proposed in proposal.steps {
        if !info.effects.contains(&proposed.effect.kind()) {
            return Err(misbehaved(
                &info.id,
                &format!("a {:?}, which it never declared", proposed.effect.kind()),
            ));
        }
        let step = Deriving {
            from: &from,
            facts: &facts,
            reads: &reads,
        };
        let (step, told) = step.step(proposed, &mut chain, dry_runs).await?;
        for warning in told {
            if !warnings.contains(&warning) {
                warnings.push(warning);
            }
        }
        steps.push(step);
    }
    let codes = warnings.iter().map(|w| w.code.as_str());
    let approvals_needed = from.policy.approvals_needed(&steps, codes);
    Ok(PlanContent {
        cluster: cluster.clone(),
        diagnosis: from.diagnosis.id.clone(),
        observations_digest: observations_digest(&snapshot.observations())?,
        finding: from.finding.clone(),
        plugin: info.id.clone(),
        plugin_digest: info.digest.clone(),
        parameters: Value::Object(parameters),
        summary: proposal.summary,
        risk: steps.iter().map(|s| s.risk).max().unwrap_or(Risk::Low),
        steps,
        warnings,
        policy_version: from.policy.version(),
        approvals_needed,
        requester: from.requester.clone(),
        created_at: from.created_at,
        expires_at: from.policy.expiry(from.created_at),
    })
}

struct Deriving<'a> {
    from: &'a Derivation<'a>,
    facts: &'a ClusterFacts,
    reads: &'a Arc<dyn Reads>,
}

impl Deriving<'_> {
    async fn step(
        &self,
        proposed: ProposedStep,
        chain: &mut Chain,
        dry_runs: &mut DryRuns,
    ) -> Result<(Step, Vec<Warning>), Error> {
        let ProposedStep { title, effect } = proposed;
        let meaning = effect::semantics(&effect);
        let target = meaning.target();
        if target.holds_credentials() {
            return Err(Error::new(
                Code::ObservationNotGranted,
                format!(
                    "plugin {} proposes to change {target}: no plugin may have credentials read, \
                     so none is changed",
                    self.from.plugin.info().id
                ),
                "change it by hand, or report this to the plugin's author",
            ));
        }
        let before = chain.before(&effect, self.reads.as_ref()).await;
        let state = State::of(&before.observation);
        match meaning.standing(&state)? {
            Standing::Ready => {}
            Standing::InPlace => {
                return Err(Error::new(
                    Code::NothingToDo,
                    format!("{title:?} is in place already"),
                    "diagnose again: the cause may be another",
                ));
            }
            Standing::Conflict(why) => {
                return Err(Error::new(
                    Code::InfeasibleHere,
                    format!("{title:?} cannot be done: {why}"),
                    "resolve what is in the way, then diagnose again",
                ));
            }
        }
        let needed = &self.from.finding.required_flows;
        let foreseen = chain.over(self.reads.as_ref());
        let Assessment {
            inverse,
            simulation,
            delta,
            beside,
            caution,
        } = assessment::assess(&effect, &before.observation, needed, self.facts, &foreseen).await?;
        let version = before.observation.version.clone();
        let precondition = Precondition {
            query: target,
            description: meaning.holds(),
            digest: effect::state_digest(&effect, &state)?,
            version: version.filter(|_| meaning.is_fenced_by_version() && before.is_observed),
        };
        let after = simulation.state.observation(&before.observation);
        let (dry_run, delayed) = dry_runs.of_step(&effect, &before, simulation).await?;
        let mut warnings = caution.warnings;
        warnings.extend(delayed);
        drop(meaning);
        chain.goes_on_with(after);
        if let Some(beside) = beside {
            chain.goes_on_beside(beside);
        }
        let step = Step {
            title,
            effect,
            precondition,
            inverse,
            dry_run,
            delta,
            risk: caution.risk,
        };
        Ok((step, warnings))
    }
}

/// Whether a plan has a step that Naosu does not perform.
pub fn manual_step(steps: &[Step]) -> Option<&Step> {
    steps
        .iter()
        .find(|step| matches!(step.effect, Effect::Manual { .. }))
}

fn misbehaved(plugin: &str, what: &str) -> Error {
    Error::new(
        Code::PluginMisbehaved,
        format!("plugin {plugin} proposes {what}"),
        "report it to the plugin's author",
    )
}
