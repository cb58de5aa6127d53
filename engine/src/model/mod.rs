//! The words of Naosu as types. Plain data: each serialises to the JSON that
//! `--output json`, MCP and the store use, and to the canonical form that
//! digests are taken of.

pub mod approval;
pub mod cluster;
pub mod diagnosis;
pub mod digest;
pub mod effect;
pub mod finding;
pub mod hint;
pub mod journal;
pub mod observation;
pub mod plan;
pub mod plugin;
pub mod principal;
pub mod query;
pub mod run;
pub mod tunnel;

pub use approval::{Approval, Decision};
pub use cluster::{ClusterId, Symptom};
pub use diagnosis::{Diagnosis, DiagnosisId, PluginFailure, Unreadable};
pub use digest::Digest;
pub use effect::{Effect, EffectKind};
pub use finding::{Evidence, Finding, Flow, Judgement};
pub use hint::{Bearing, Hint, HintKind};
pub use journal::{Entry, Event};
pub use observation::{Observation, ObserveError, ObserveErrorKind, observations_digest};
pub use plan::{
    Delta, DryRun, Inverse, Plan, PlanId, PlanState, Precondition, Risk, Step, Warning,
};
pub use plugin::{Capability, Parameter, ParameterType, PluginInfo};
pub use principal::Principal;
pub use query::Query;
pub use run::{Run, RunId, RunState, StepState};
pub use tunnel::{NodeAnswer, TunnelAnswer, TunnelAnswers, WayAnswers};
