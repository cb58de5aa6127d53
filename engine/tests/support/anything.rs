//! A world of any things that effects can be performed on, and a plugin that
//! proposes what it is told. What an effect does is the engine's own simulation
//! of it; whether the drivers do the same to real systems is shown on the lab.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard},
};

use async_trait::async_trait;
use naosu_engine::{
    Code, Error,
    driver::{APPLIED_BY, Effector, IdempotencyKey, Observer, PerformError, Performed, Reading},
    effect::{self, Standing, State},
    model::{
        ClusterId, Digest, DryRun, Effect, EffectKind, Finding, Judgement, Observation,
        ObserveError, ObserveErrorKind, PluginInfo, Query, Symptom, journal::Way,
    },
    plugin::{Plugin, Proposal, ProposedStep, Reads, Verdict},
};
use serde_json::{Map, Value, json};

use super::world::Trouble;

/// The moment that the simulation of a restart leaves open.
const MOMENT: (&str, &str) = ("<now>", "2026-01-02T03:04:05Z");

/// One thing: what reading it gives.
#[derive(Clone, Debug)]
struct Thing {
    answer: Result<String, ObserveError>,
    version: u64,
}

#[derive(Default)]
struct Inner {
    things: BTreeMap<Query, Thing>,
    /// What a ufw that is switched on shows.
    switched_on: BTreeMap<Query, String>,
    /// Every write that really changed something.
    writes: Vec<(u32, Way)>,
    troubles: BTreeMap<usize, Trouble>,
    performed: usize,
    /// What else is different once a step is done, by the system's own doing.
    consequences: BTreeMap<u32, Vec<(Query, String)>>,
    /// Reads that fail so often before they are answered again.
    unavailable: BTreeMap<Query, u32>,
    /// Why the API server evicts nothing for now.
    budget: Option<String>,
}

/// All things, written only under their version.
pub struct Anything {
    inner: Mutex<Inner>,
    reach: bool,
    pub died: tokio::sync::Notify,
}

impl Anything {
    /// A world whose tunnel answers, or does not, once steps are verified.
    pub fn new(reach: bool) -> Self {
        let world = Self {
            inner: Mutex::default(),
            reach,
            died: tokio::sync::Notify::new(),
        };
        let cluster = json!({ "properties": { "nodeResourceGroup": "MC_g" } });
        let resource = super::CLUSTER.to_owned();
        world.put(Query::AzureGet { resource }, cluster.to_string());
        world
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    /// What reading `query` gives from now on.
    pub fn put(&self, query: Query, body: String) {
        let mut inner = self.lock();
        let version = inner.things.get(&query).map_or(0, |t| t.version) + 1;
        let answer = Ok(body);
        inner.things.insert(query, Thing { answer, version });
    }

    /// What the ufw of `query` shows when it is switched on.
    pub fn put_switched_on(&self, query: Query, body: String) {
        self.lock().switched_on.insert(query, body);
    }

    /// The body of a thing, or why there is none.
    pub fn body(&self, query: &Query) -> Result<String, ObserveError> {
        let inner = self.lock();
        let thing = inner.things.get(query);
        thing.map_or_else(|| Err(not_there(query)), |thing| thing.answer.clone())
    }

    /// Trouble at the `number`th performed effect from now on, from 0.
    pub fn trouble(&self, number: usize, trouble: Trouble) {
        let mut inner = self.lock();
        let number = inner.performed + number;
        inner.troubles.insert(number, trouble);
    }

    /// What reading `query` gives once this step is done.
    pub fn put_after(&self, step: u32, query: Query, body: String) {
        let mut inner = self.lock();
        inner
            .consequences
            .entry(step)
            .or_default()
            .push((query, body));
    }

    /// Lets the next reads of `query` fail.
    pub fn fail_reads(&self, query: Query, times: u32) {
        self.lock().unavailable.insert(query, times);
    }

    /// Has a disruption budget forbid evictions, in these words.
    pub fn forbid_evictions(&self, words: &str) {
        self.lock().budget = Some(words.to_owned());
    }

    pub fn writes(&self) -> Vec<(u32, Way)> {
        self.lock().writes.clone()
    }

    fn write(
        &self,
        effect: &Effect,
        before: &Observation,
        key: &IdempotencyKey,
    ) -> Result<Performed, PerformError> {
        let refuse = |code, why: String| PerformError::NotApplied(Error::new(code, why, ""));
        let mut inner = self.lock();
        let query = effect::target(effect);
        let Some(thing) = inner.things.get(&query).cloned() else {
            return Err(refuse(Code::AzureNotFound, "it is not there".into()));
        };
        if before.version != Some(thing.version.to_string()) {
            return Err(refuse(Code::Drift, "its version is another".into()));
        }
        let now = Observation {
            answer: thing.answer.clone().map(Into::into),
            ..before.clone()
        };
        match effect::standing(effect, &now).map_err(PerformError::NotApplied)? {
            Standing::Ready => {}
            Standing::InPlace => {
                return Ok(Performed {
                    already_in_place: true,
                    detail: "nothing to do".into(),
                });
            }
            Standing::Conflict(why) => return Err(refuse(Code::Drift, why)),
        }
        let mut after = effect::simulate(effect, &now)
            .map_err(PerformError::NotApplied)?
            .state
            .answer;
        match effect {
            Effect::UfwDisable { .. } => {
                let shown = thing.answer.unwrap_or_default();
                inner.switched_on.insert(query.clone(), shown);
            }
            // Its files hold rules that it does not show while it is off.
            Effect::UfwEnable { .. } => after = Ok(inner.switched_on[&query].as_str().into()),
            Effect::RolloutRestart { .. } => after = after.map(|body| marked(&body, &key.mark())),
            _ => {}
        }
        let thing = Thing {
            answer: after.map(|body| body.replace(MOMENT.0, MOMENT.1)),
            version: thing.version + 1,
        };
        inner.things.insert(query, thing);
        inner.writes.push((key.step, key.way));
        let beside = inner.consequences.get(&key.step).cloned();
        drop(inner);
        for (query, body) in beside.into_iter().flatten() {
            self.put(query, body);
        }
        Ok(Performed {
            already_in_place: false,
            detail: "done".into(),
        })
    }
}

/// The restarted workload with who restarted it, as the driver sets it.
fn marked(body: &str, mark: &str) -> Arc<str> {
    let mut object: Value = serde_json::from_str(body).unwrap();
    object["spec"]["template"]["metadata"]["annotations"][APPLIED_BY] = json!(mark);
    object.to_string().into()
}

fn not_there(query: &Query) -> ObserveError {
    ObserveError {
        kind: ObserveErrorKind::NotFound,
        code: Code::AzureNotFound,
        message: format!("{query} is not there"),
    }
}

#[async_trait]
impl Observer for Anything {
    async fn observe(&self, _: &ClusterId, query: &Query) -> Result<Reading, ObserveError> {
        if let Some(left @ 1..) = self.lock().unavailable.get_mut(query) {
            *left -= 1;
            return Err(ObserveError {
                kind: ObserveErrorKind::Unavailable,
                code: Code::AzureUnreachable,
                message: format!("{query} did not answer"),
            });
        }
        if let Some(thing) = self.lock().things.get(query) {
            return Ok(Reading {
                body: thing.answer.clone()?,
                version: Some(thing.version.to_string()),
            });
        }
        let body = match query {
            Query::KubernetesList { .. } => json!([{ "metadata": { "name": "node-0" } }]),
            Query::TunnelProbe { .. } => {
                json!({ "reached": self.reach, "error": "i/o timeout", "elapsed_ms": 1 })
            }
            _ => return Err(not_there(query)),
        };
        Ok(Reading {
            body: body.to_string(),
            version: None,
        })
    }
}

#[async_trait]
impl Effector for Anything {
    async fn perform(
        &self,
        _: &ClusterId,
        effect: &Effect,
        before: &Observation,
        key: &IdempotencyKey,
    ) -> Result<Performed, PerformError> {
        let trouble = {
            let mut inner = self.lock();
            let number = inner.performed;
            inner.performed += 1;
            inner.troubles.remove(&number)
        };
        let lost = || PerformError::Unknown(Error::new(Code::AzureUnreachable, "no answer", ""));
        match trouble {
            None => self.write(effect, before, key),
            Some(Trouble::Refuse) => Err(PerformError::NotApplied(Error::new(
                Code::AzureForbidden,
                "forbidden",
                "",
            ))),
            Some(Trouble::LoseAnswer) => {
                self.write(effect, before, key)?;
                Err(lost())
            }
            Some(Trouble::LoseRequest) => Err(lost()),
            Some(dying @ (Trouble::DieAfter | Trouble::DieBefore)) => {
                if dying == Trouble::DieAfter {
                    self.write(effect, before, key)?;
                }
                self.died.notify_one();
                std::future::pending().await
            }
        }
    }

    async fn dry_run(
        &self,
        _: &ClusterId,
        effect: &Effect,
        _: &Observation,
    ) -> Result<Option<DryRun>, Error> {
        match (effect, &self.lock().budget) {
            (Effect::PodEvict { .. }, Some(words)) => Err(Error::new(
                Code::KubernetesDisruptionBudget,
                words.clone(),
                "",
            )),
            _ => Ok(None),
        }
    }
}

/// Proposes these effects, a step each, and finds that they mended it.
pub struct Proposing {
    info: PluginInfo,
    effects: Vec<Effect>,
}

impl Proposing {
    pub fn new(effects: &[Effect]) -> Self {
        let kinds: BTreeSet<EffectKind> = effects.iter().map(Effect::kind).collect();
        Self {
            info: PluginInfo {
                id: "proposing".into(),
                version: "1".into(),
                digest: Digest::of_bytes(b"component"),
                contract: "naosu:plugin@0.1.0".into(),
                cause: "a-cause".into(),
                summary: String::new(),
                fix: "mends".into(),
                parameters: vec![],
                capabilities: vec![],
                effects: kinds.into_iter().collect(),
                imports: vec![],
                source: "test".into(),
            },
            effects: effects.to_vec(),
        }
    }
}

#[async_trait]
impl Plugin for Proposing {
    fn info(&self) -> &PluginInfo {
        &self.info
    }

    async fn diagnose(
        &self,
        _: &ClusterId,
        _: &Symptom,
        reads: Arc<dyn Reads>,
    ) -> Result<Finding, Error> {
        for effect in &self.effects {
            reads.read(&effect::target(effect)).await;
        }
        Ok(Finding {
            plugin: self.info.id.clone(),
            cause: self.info.cause.clone(),
            judgement: Judgement::Confirmed,
            summary: "it is broken".into(),
            evidence: vec![],
            required_flows: vec![],
            infeasible: None,
            subject: Value::Null,
        })
    }

    async fn plan(
        &self,
        _: &ClusterId,
        _: &Finding,
        _: &Map<String, Value>,
        _: Arc<dyn Reads>,
    ) -> Result<Proposal, Error> {
        let step = |effect: &Effect| ProposedStep {
            title: format!("{:?}", effect.kind()),
            effect: effect.clone(),
        };
        Ok(Proposal {
            summary: "mend".into(),
            steps: self.effects.iter().map(step).collect(),
            warnings: vec![],
        })
    }

    async fn verify(
        &self,
        _: &ClusterId,
        _: &Finding,
        _: &[ProposedStep],
        _: Arc<dyn Reads>,
    ) -> Result<Verdict, Error> {
        Ok(Verdict {
            mended: true,
            summary: "Done.".into(),
            evidence: vec![],
        })
    }
}

/// What of a thing decides whether it changed, as this effect sees it.
pub fn seen_by(effect: &Effect, answer: Result<String, ObserveError>) -> Digest {
    let state = State {
        what: "the target".into(),
        answer: answer.map(Into::into),
    };
    effect::state_digest(effect, &state).unwrap()
}
