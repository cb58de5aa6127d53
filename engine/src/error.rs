//! The error of the façade: a stable code, what was wrong with which value,
//! and the next thing to do. Modules have their own typed errors and convert.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $text:literal: $category:ident,)*) => {
        /// Stable code of an error. The text never changes once released; each has
        /// a page in `docs/errors.md`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        pub enum Code {
            $($(#[$doc])* #[serde(rename = $text)] $variant,)*
        }

        impl Code {
            /// All codes.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The stable text.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// What kind of failure it is; faces map this to their own status.
            pub fn category(self) -> Category {
                match self { $(Self::$variant => Category::$category,)* }
            }
        }
    };
}

/// What kind of failure a [`Code`] is, in gRPC's terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // google.rpc.Code documents them
pub enum Category {
    InvalidArgument,
    NotFound,
    FailedPrecondition,
    PermissionDenied,
    Unauthenticated,
    ResourceExhausted,
    Aborted,
    Unavailable,
    DeadlineExceeded,
    Internal,
}

codes! {
    /// The text is not an ARM resource id of the kind needed.
    InvalidResourceId = "invalid_resource_id": InvalidArgument,
    /// A parameter is missing, of the wrong type or out of range.
    InvalidParameter = "invalid_parameter": InvalidArgument,
    /// A setting, flag or file that configures Naosu is wrong.
    InvalidConfiguration = "invalid_configuration": InvalidArgument,
    /// There is no such cluster, or it is not visible to the credentials.
    ClusterNotFound = "cluster_not_found": NotFound,
    /// No diagnosis has this id.
    DiagnosisNotFound = "diagnosis_not_found": NotFound,
    /// The diagnosis has no finding of this cause.
    FindingNotFound = "finding_not_found": NotFound,
    /// No plan has this id.
    PlanNotFound = "plan_not_found": NotFound,
    /// No run has this id.
    RunNotFound = "run_not_found": NotFound,
    /// No plugin has this id.
    PluginNotFound = "plugin_not_found": NotFound,
    /// The finding needs no mending, or the plugin has no fix.
    NothingToDo = "nothing_to_do": FailedPrecondition,
    /// The fix cannot be done on this cluster.
    InfeasibleHere = "infeasible_here": FailedPrecondition,
    /// No NSG priority can hold the rule, not even after renumbering.
    NoFreePriority = "no_free_priority": FailedPrecondition,
    /// The diagnosis is too old to make a plan of.
    DiagnosisExpired = "diagnosis_expired": FailedPrecondition,
    /// The digest given is not the plan's.
    StaleDigest = "stale_digest": FailedPrecondition,
    /// The plan expired.
    PlanExpired = "plan_expired": FailedPrecondition,
    /// The plan was rejected.
    PlanRejected = "plan_rejected": FailedPrecondition,
    /// The plan lacks approvals.
    PlanNotApproved = "plan_not_approved": FailedPrecondition,
    /// The plan was applied before; a plan runs once.
    PlanAlreadyApplied = "plan_already_applied": FailedPrecondition,
    /// The plan is already approved by this principal, or decided.
    PlanAlreadyDecided = "plan_already_decided": FailedPrecondition,
    /// The policy does not let this principal do it.
    ApprovalForbidden = "approval_forbidden": PermissionDenied,
    /// What the plan was computed from changed since.
    Drift = "drift": Aborted,
    /// Another run works on this cluster.
    ClusterBusy = "cluster_busy": Aborted,
    /// The run is not in a state that allows this.
    RunNotReversible = "run_not_reversible": FailedPrecondition,
    /// Taking it back would overwrite a change made by someone else.
    RollbackConflict = "rollback_conflict": Aborted,
    /// Whether an effect took place could not be found out.
    OutcomeUnknown = "outcome_unknown": Internal,
    /// The steps ran, but the tunnel does not answer.
    VerificationFailed = "verification_failed": FailedPrecondition,
    /// The file is not a WebAssembly component.
    PluginNotAComponent = "plugin_not_a_component": InvalidArgument,
    /// The component does not fit the world `naosu:plugin/plugin`.
    PluginWrongWorld = "plugin_wrong_world": InvalidArgument,
    /// The component imports something the host does not give.
    PluginImportUndeclared = "plugin_import_undeclared": PermissionDenied,
    /// The plugin asks for a capability that is not granted.
    PluginCapabilityNotGranted = "plugin_capability_not_granted": PermissionDenied,
    /// Two plugins have one id.
    PluginDuplicate = "plugin_duplicate": InvalidArgument,
    /// The plugin used too much time, memory or output, or the file is too large.
    PluginLimitExceeded = "plugin_limit_exceeded": ResourceExhausted,
    /// The plugin crashed.
    PluginTrapped = "plugin_trapped": Internal,
    /// The plugin returned something malformed or that it never declared.
    PluginMisbehaved = "plugin_misbehaved": Internal,
    /// The flow analysis met its limit before it was exact.
    AnalysisTooComplex = "analysis_too_complex": ResourceExhausted,
    /// A ruleset or resource cannot be understood.
    RulesetMalformed = "ruleset_malformed": InvalidArgument,
    /// No Azure credential works.
    AzureUnauthenticated = "azure_unauthenticated": Unauthenticated,
    /// Azure denies it.
    AzureForbidden = "azure_forbidden": PermissionDenied,
    /// Azure has no such resource.
    AzureNotFound = "azure_not_found": NotFound,
    /// Azure refuses because of another operation or a conflicting state.
    AzureConflict = "azure_conflict": Aborted,
    /// The ETag no longer matches.
    AzurePreconditionFailed = "azure_precondition_failed": Aborted,
    /// Azure asks to slow down, and went on doing so.
    AzureThrottled = "azure_throttled": ResourceExhausted,
    /// Azure refuses the request as malformed.
    AzureBadRequest = "azure_bad_request": InvalidArgument,
    /// Azure failed.
    AzureServerError = "azure_server_error": Unavailable,
    /// Azure answered something that cannot be understood.
    AzureBadResponse = "azure_bad_response": Unavailable,
    /// Azure did not answer.
    AzureUnreachable = "azure_unreachable": Unavailable,
    /// A long-running Azure operation failed.
    AzureOperationFailed = "azure_operation_failed": Aborted,
    /// The kubeconfig does not parse or lacks what is needed.
    KubeconfigInvalid = "kubeconfig_invalid": InvalidArgument,
    /// The kubeconfig leads to the API server of another cluster.
    KubeconfigOfAnotherCluster = "kubeconfig_of_another_cluster": FailedPrecondition,
    /// The API server denies it.
    KubernetesForbidden = "kubernetes_forbidden": PermissionDenied,
    /// The API server does not accept the credentials.
    KubernetesUnauthenticated = "kubernetes_unauthenticated": Unauthenticated,
    /// There is no such object.
    KubernetesNotFound = "kubernetes_not_found": NotFound,
    /// The object changed since.
    KubernetesConflict = "kubernetes_conflict": Aborted,
    /// A disruption budget forbids the eviction for now.
    KubernetesDisruptionBudget = "kubernetes_disruption_budget": FailedPrecondition,
    /// The API server failed or did not answer.
    KubernetesUnavailable = "kubernetes_unavailable": Unavailable,
    /// No node has this name.
    NodeNotFound = "node_not_found": NotFound,
    /// The node's virtual machine is not one of the cluster's.
    NodeForeign = "node_foreign": PermissionDenied,
    /// Another run command holds the node.
    NodeBusy = "node_busy": Aborted,
    /// The node's output was cut short.
    NodeOutputTruncated = "node_output_truncated": Unavailable,
    /// The node's output has not the form that the script prints.
    NodeOutputMalformed = "node_output_malformed": Unavailable,
    /// The script failed on the node.
    NodeCommandFailed = "node_command_failed": Aborted,
    /// The plugin lacks the grant for this read.
    ObservationNotGranted = "observation_not_granted": PermissionDenied,
    /// Something is not in the recorded observations.
    ObservationMissing = "observation_missing": NotFound,
    /// This build or configuration has no driver for it.
    Unsupported = "unsupported": FailedPrecondition,
    /// The store cannot be read or written.
    StoreFailed = "store_failed": Unavailable,
    /// The store holds what this version cannot read.
    StoreCorrupt = "store_corrupt": Internal,
    /// The caller is not authenticated.
    Unauthenticated = "unauthenticated": Unauthenticated,
    /// It took longer than allowed.
    DeadlineExceeded = "deadline_exceeded": DeadlineExceeded,
    /// The server cannot be reached.
    ServerUnreachable = "server_unreachable": Unavailable,
    /// Another process executes the runs of this store.
    ExecutorElsewhere = "executor_elsewhere": FailedPrecondition,
    /// The server is going down; what was begun goes on at its next start.
    ShuttingDown = "shutting_down": Unavailable,
    /// A fault of Naosu itself.
    Internal = "internal": Internal,
}

/// What every face shows of a failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// Stable code.
    pub code: Code,
    /// What was wrong, with which value.
    pub message: String,
    /// The next thing to do.
    pub next: String,
}

impl Error {
    /// An error of this code.
    pub fn new(code: Code, message: impl Into<String>, next: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            next: next.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_snake_case_and_survive_json() {
        let mut seen = std::collections::BTreeSet::new();
        for code in Code::ALL {
            let text = code.as_str();
            assert!(seen.insert(text), "{text} twice");
            assert!(
                text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'),
                "{text}"
            );
            let json = serde_json::to_string(code).unwrap();
            assert_eq!(json, format!("{text:?}"));
            assert_eq!(serde_json::from_str::<Code>(&json).unwrap(), *code);
        }
    }

    #[test]
    fn each_code_has_its_entry_in_the_errors_page_and_no_other_has() {
        let page = include_str!("../../docs/errors.md");
        // A heading each: links lead to it.
        let headings = page.lines().filter_map(|line| line.strip_prefix("### `"));
        let documented: std::collections::BTreeSet<_> =
            headings.map(|rest| rest.trim_end_matches('`')).collect();
        let known: std::collections::BTreeSet<_> = Code::ALL.iter().map(|c| c.as_str()).collect();
        assert_eq!(documented, known);
    }
}
