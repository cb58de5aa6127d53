//! A loaded component: each call in a fresh store that is thrown away.

use std::{collections::BTreeSet, future::Future, sync::Arc};

use async_trait::async_trait;
use serde_json::{Map, Value};
use tokio::sync::Semaphore;
use wasmtime::{Engine, Store, Trap, UpdateDeadline};

use super::{
    Plugin, Proposal, ProposedStep, Reads, Verdict,
    bindings::{self, PluginPre, naosu::plugin::types as guest},
    convert::{self, Description},
    error::PluginError,
    failures::Failures,
    limits::Limits,
    parameters,
    state::{Scope, State},
    ticker::{TICK, Ticker},
    validate::Malformed,
};
use crate::{
    error::{Category, Code, Error},
    model::{Capability, ClusterId, Finding, PluginInfo, Symptom},
};

/// What all plugins of a host share.
pub(super) struct Shared {
    pub engine: Engine,
    pub ticker: Ticker,
    pub limits: Limits,
    pub slots: Semaphore,
}

/// A component that can be called.
pub(super) struct Callable {
    pub shared: Arc<Shared>,
    pub pre: PluginPre<State>,
    /// Its id, or where it came from as long as its id is not known.
    pub name: String,
    pub granted: Arc<BTreeSet<Capability>>,
}

impl Callable {
    /// Runs one call in a store of its own; tells which of its reads failed.
    async fn call<T, F, Fut>(
        &self,
        scope: Option<Scope>,
        run: F,
    ) -> Result<(T, Failures), PluginError>
    where
        F: FnOnce(Store<State>, PluginPre<State>) -> Fut,
        Fut: Future<Output = (Store<State>, wasmtime::Result<T>)>,
    {
        let limits = &self.shared.limits;
        // The semaphore is never closed; a permit is a slot of the pool.
        let _slot = self.shared.slots.acquire().await;
        let _running = self.shared.ticker.run();
        let mut store = Store::new(
            &self.shared.engine,
            State::new(limits, &self.granted, scope),
        );
        store.limiter(|state| &mut state.meter);
        store.set_hostcall_fuel(limits.transfer_bytes);
        let tick_ms = u64::try_from(TICK.as_millis()).unwrap_or(1);
        let ticks_allowed = (limits.running_ms / tick_ms).max(1);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(move |mut context| {
            let meter = &mut context.data_mut().meter;
            meter.ticks += 1;
            if meter.ticks > ticks_allowed {
                meter.refused = Some(format!("ran longer than {} ms", ticks_allowed * tick_ms));
                return Ok(UpdateDeadline::Interrupt);
            }
            Ok(UpdateDeadline::Yield(1))
        });
        let output = store.data().output.clone();
        let ended = tokio::time::timeout(limits.elapsed(), run(store, self.pre.clone())).await;
        output.log(&self.name);
        match ended {
            Ok((store, Ok(value))) => Ok((value, store.into_data().failures)),
            Ok((store, Err(error))) => Err(self.failure(&store, &error)),
            Err(_) => Err(self.limit(format!("took longer than {} ms", limits.elapsed_ms))),
        }
    }

    fn limit(&self, what: String) -> PluginError {
        PluginError::LimitExceeded {
            plugin: self.name.clone(),
            what,
        }
    }

    fn failure(&self, store: &Store<State>, error: &wasmtime::Error) -> PluginError {
        if let Some(what) = &store.data().meter.refused {
            return self.limit(what.clone());
        }
        let text = format!("{error:#}");
        if error.downcast_ref::<Trap>() == Some(&Trap::StackOverflow) {
            return self.limit("used more stack than it has".to_owned());
        }
        if text.contains("fuel allocated for hostcalls has been exhausted") {
            let bytes = self.shared.limits.transfer_bytes;
            return self.limit(format!("handed over more than {bytes} bytes at once"));
        }
        PluginError::Trapped {
            plugin: self.name.clone(),
            reason: text,
        }
    }

    fn misbehaved(&self, export: &str, wrong: Malformed) -> PluginError {
        PluginError::Misbehaved {
            plugin: self.name.clone(),
            field: format!("{export}.{}", wrong.field),
            reason: wrong.reason,
        }
    }

    /// Asks the component what it is.
    pub async fn describe(&self) -> Result<Description, PluginError> {
        let (given, _) = self
            .call(None, |mut store, pre| async move {
                let described = async {
                    let plugin = pre.instantiate_async(&mut store).await?;
                    plugin.call_describe(&mut store).await
                }
                .await;
                (store, described)
            })
            .await?;
        convert::description(given).map_err(|wrong| self.misbehaved("describe", wrong))
    }
}

/// A plugin that was loaded, checked and granted what it asks for.
pub(super) struct ComponentPlugin {
    pub callable: Callable,
    pub info: PluginInfo,
}

fn scope(cluster: &ClusterId, reads: Arc<dyn Reads>) -> Scope {
    let cluster = cluster.clone();
    Scope { cluster, reads }
}

fn cluster_to_guest(cluster: &ClusterId) -> guest::Cluster {
    guest::Cluster {
        id: cluster.as_str().to_owned(),
        name: cluster.name().to_owned(),
    }
}

/// What to do next where a read failed with this code.
fn next_of_read(code: Code) -> &'static str {
    match code {
        Code::ObservationNotGranted => {
            "grant the capability to the plugin in the configuration, if the message names one"
        }
        Code::PluginLimitExceeded => "report it to the plugin's author: it reads too much",
        Code::NodeOutputTruncated => "diagnose again; a cut output is never used",
        _ => match code.category() {
            Category::NotFound => "check that the named resource exists",
            Category::PermissionDenied => "give the credentials of the server the right to read it",
            Category::Unauthenticated => "give the server credentials that are accepted",
            Category::Unavailable | Category::DeadlineExceeded | Category::ResourceExhausted => {
                "diagnose again when the peer answers"
            }
            Category::Aborted | Category::FailedPrecondition => {
                "see to what the message names, then diagnose again"
            }
            Category::InvalidArgument => "correct what the message names, then diagnose again",
            Category::Internal => "report it to the plugin's author",
        },
    }
}

/// A typed refusal of the plugin as an error of the façade. A failed read keeps the
/// code that it failed with.
fn refusal(plugin: &str, error: guest::PluginError, failures: &Failures) -> Error {
    use guest::PluginError as P;
    let bounded = |text: String| text.chars().take(4_000).collect::<String>();
    let (code, message, next) = match error {
        P::InvalidParameter(m) => (
            Code::InvalidParameter,
            m,
            "correct the parameter; `naosu plugin inspect` lists them",
        ),
        P::Malformed(m) => (
            Code::RulesetMalformed,
            m,
            "look at the named resource; it is not as its system documents it",
        ),
        P::NothingToDo(m) => (Code::NothingToDo, m, "diagnose again for other causes"),
        P::Infeasible(m) => (Code::InfeasibleHere, m, "follow the alternative it names"),
        P::NoFreePriority(m) => (
            Code::NoFreePriority,
            m,
            "free a priority among the rules named, then plan again",
        ),
        P::AnalysisTooComplex(m) => (
            Code::AnalysisTooComplex,
            m,
            "simplify the rules named, then diagnose again",
        ),
        P::Observation(failed) => {
            let (kind, message) = convert::observe_error_of_guest(failed);
            let message = bounded(message);
            match failures.code_of(kind, &message) {
                Some(code) => (code, message, next_of_read(code)),
                None => (
                    Code::PluginMisbehaved,
                    format!("it says that a read failed as none did: {message}"),
                    "report it to the plugin's author",
                ),
            }
        }
    };
    Error::new(code, format!("{plugin}: {}", bounded(message)), next)
}

impl ComponentPlugin {
    fn flatten<T>(
        &self,
        result: Result<(Result<T, guest::PluginError>, Failures), PluginError>,
    ) -> Result<T, Error> {
        let (given, failures) = result?;
        given.map_err(|error| refusal(&self.info.id, error, &failures))
    }

    fn checked<T>(&self, export: &str, value: Result<T, Malformed>) -> Result<T, Error> {
        value.map_err(|wrong| self.callable.misbehaved(export, wrong).into())
    }

    fn misbehaved(&self, field: &str, reason: String) -> Error {
        let plugin = self.info.id.clone();
        let field = field.to_owned();
        PluginError::Misbehaved {
            plugin,
            field,
            reason,
        }
        .into()
    }
}

macro_rules! call {
    ($self:ident, $scope:ident, |$plugin:ident, $store:ident| $call:expr) => {
        $self.flatten(
            $self
                .callable
                .call(Some($scope), |mut $store, pre| async move {
                    let result = async {
                        let $plugin: bindings::Plugin = pre.instantiate_async(&mut $store).await?;
                        $call.await
                    }
                    .await;
                    ($store, result)
                })
                .await,
        )
    };
}

#[async_trait]
impl Plugin for ComponentPlugin {
    fn info(&self) -> &PluginInfo {
        &self.info
    }

    async fn diagnose(
        &self,
        cluster: &ClusterId,
        symptom: &Symptom,
        reads: Arc<dyn Reads>,
    ) -> Result<Finding, Error> {
        let scope = scope(cluster, reads);
        let cluster = cluster_to_guest(cluster);
        let symptom = guest::Symptom {
            text: symptom.text.clone(),
            nodes: symptom.nodes.clone(),
        };
        let given = call!(self, scope, |plugin, store| plugin
            .call_diagnose(&mut store, &cluster, &symptom))?;
        let finding = self.checked("diagnose", convert::finding(&self.info.id, given))?;
        if finding.cause != self.info.cause {
            let reason = format!("{:?}, but it declared {:?}", finding.cause, self.info.cause);
            return Err(self.misbehaved("diagnose.cause", reason));
        }
        Ok(finding)
    }

    async fn plan(
        &self,
        cluster: &ClusterId,
        finding: &Finding,
        given: &Map<String, Value>,
        reads: Arc<dyn Reads>,
    ) -> Result<Proposal, Error> {
        let scope = scope(cluster, reads);
        let cluster = cluster_to_guest(cluster);
        let finding = convert::finding_to_guest(finding);
        let parameters = Value::Object(parameters::complete(&self.info, given)?).to_string();
        let given = call!(self, scope, |plugin, store| plugin.call_plan(
            &mut store,
            &cluster,
            &finding,
            &parameters
        ))?;
        let proposal = self.checked("plan", convert::proposal(given))?;
        for (index, step) in proposal.steps.iter().enumerate() {
            let kind = step.effect.kind();
            if !self.info.effects.contains(&kind) {
                let reason = format!("{kind:?} is not among the effects it declared");
                return Err(self.misbehaved(&format!("plan.steps[{index}].effect"), reason));
            }
        }
        Ok(proposal)
    }

    async fn verify(
        &self,
        cluster: &ClusterId,
        finding: &Finding,
        steps: &[ProposedStep],
        reads: Arc<dyn Reads>,
    ) -> Result<Verdict, Error> {
        let scope = scope(cluster, reads);
        let cluster = cluster_to_guest(cluster);
        let finding = convert::finding_to_guest(finding);
        let steps: Vec<guest::Step> = steps
            .iter()
            .map(|step| guest::Step {
                title: step.title.clone(),
                effect: convert::effect_to_guest(&step.effect),
            })
            .collect();
        let given = call!(self, scope, |plugin, store| plugin
            .call_verify(&mut store, &cluster, &finding, &steps))?;
        self.checked("verify", convert::verdict(given))
    }
}
