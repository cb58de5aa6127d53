//! The trait that a plugin implements, and how it becomes a component.

use crate::{
    Cluster, Description, Finding, Observation, ObserveError, PluginError, Proposal, Query, Step,
    Symptom, Verdict,
};

/// The recorded reads of one diagnosis or plan: the same query gives the same
/// observation for as long as it lasts.
pub trait Reads {
    /// Reads, or replays.
    ///
    /// # Errors
    /// Why the read gave nothing. That too is a fact to conclude from.
    fn read(&self, query: &Query) -> Result<Observation, ObserveError>;

    /// The same for several queries, which the host reads in parallel where it
    /// can. Answers come in the order of the queries.
    fn read_many(&self, queries: &[Query]) -> Vec<Result<Observation, ObserveError>> {
        queries.iter().map(|query| self.read(query)).collect()
    }
}

/// One cause and its fix.
pub trait Plugin {
    /// What the plugin is and what it asks for. Reads nothing.
    fn describe() -> Description;

    /// Judges the cause.
    ///
    /// # Errors
    /// When an observation it cannot do without failed or makes no sense. What
    /// merely cannot be known is a finding that is `unknown`, with the reason.
    fn diagnose(
        reads: &dyn Reads,
        cluster: &Cluster,
        symptom: &Symptom,
    ) -> Result<Finding, PluginError>;

    /// Proposes steps for its own finding. `parameters` is a JSON object that
    /// the host has checked against the description.
    ///
    /// # Errors
    /// Why there is nothing to propose.
    fn plan(
        reads: &dyn Reads,
        cluster: &Cluster,
        finding: &Finding,
        parameters: &str,
    ) -> Result<Proposal, PluginError>;

    /// Judges with fresh observations whether the cause is gone.
    ///
    /// # Errors
    /// As [`Self::diagnose`].
    fn verify(
        reads: &dyn Reads,
        cluster: &Cluster,
        finding: &Finding,
        steps: &[Step],
    ) -> Result<Verdict, PluginError>;
}

/// The reads of the host, inside a component.
#[doc(hidden)]
pub struct HostReads;

impl Reads for HostReads {
    fn read(&self, query: &Query) -> Result<Observation, ObserveError> {
        crate::contract::naosu::plugin::observe::read(query)
    }

    fn read_many(&self, queries: &[Query]) -> Vec<Result<Observation, ObserveError>> {
        crate::contract::naosu::plugin::observe::read_many(queries)
    }
}

/// Makes a component of a type that implements [`Plugin`]. Does nothing when
/// the crate is compiled natively.
#[macro_export]
macro_rules! export {
    ($plugin:ident) => {
        #[cfg(target_arch = "wasm32")]
        mod exported_component {
            use $crate::{
                Cluster, Description, Finding, Plugin, PluginError, Proposal, Step, Symptom,
                Verdict,
            };

            struct Component;

            impl $crate::contract::Guest for Component {
                fn describe() -> Description {
                    <super::$plugin as Plugin>::describe()
                }
                fn diagnose(cluster: Cluster, symptom: Symptom) -> Result<Finding, PluginError> {
                    <super::$plugin as Plugin>::diagnose(&$crate::HostReads, &cluster, &symptom)
                }
                fn plan(
                    cluster: Cluster,
                    finding: Finding,
                    parameters: String,
                ) -> Result<Proposal, PluginError> {
                    <super::$plugin as Plugin>::plan(
                        &$crate::HostReads,
                        &cluster,
                        &finding,
                        &parameters,
                    )
                }
                fn verify(
                    cluster: Cluster,
                    finding: Finding,
                    steps: Vec<Step>,
                ) -> Result<Verdict, PluginError> {
                    <super::$plugin as Plugin>::verify(
                        &$crate::HostReads,
                        &cluster,
                        &finding,
                        &steps,
                    )
                }
            }

            $crate::contract::export_component!(Component with_types_in $crate::contract);
        }
    };
}
