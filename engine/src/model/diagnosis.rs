//! All findings of one look at a cluster, over one set of observations.

use std::sync::Arc;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    ClusterId, Digest, Finding, Hint, Judgement, Observation, ObserveError, ObserveErrorKind,
    Principal, Query, Symptom, TunnelAnswers,
};
use crate::error::{Category, Code, Error};

/// Id of a diagnosis: `dia-<uuid v7>`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct DiagnosisId(pub String);

/// One look at a cluster. Immutable once stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Diagnosis {
    /// Its id.
    pub id: DiagnosisId,
    /// The cluster looked at.
    pub cluster: ClusterId,
    /// What the user saw, as given.
    pub symptom: Symptom,
    /// What that says; `None` when nothing was given.
    #[serde(default)]
    pub hint: Option<Hint>,
    /// What the tunnel answered when plugins had it asked; `None` when none did.
    #[serde(default)]
    pub tunnel: Option<TunnelAnswers>,
    /// Who asked.
    pub requester: Principal,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Timestamp,
    /// Confirmed first, ruled out last; among equals first those that the
    /// symptom speaks for.
    pub findings: Vec<Finding>,
    /// Plugins that gave no finding, and why.
    pub failures: Vec<PluginFailure>,
    /// Every read, in the order of the queries. Left out of lists of diagnoses:
    /// those of a large cluster are megabytes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub observations: Vec<Arc<Observation>>,
    /// Digest over the observations.
    pub observations_digest: Digest,
}

/// Reads of a diagnosis that failed in one way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Unreadable {
    /// Stable code of the failure.
    pub code: Code,
    /// What was wrong with the first of them; text from outside.
    pub message: String,
    /// The next thing to do.
    pub next: String,
    /// What was to be read, in words.
    pub reads: Vec<String>,
}

impl Diagnosis {
    /// The reads that failed, those of one code together. That something is
    /// not there is an answer, no failure.
    pub fn unreadable(&self) -> Vec<Unreadable> {
        let mut all: Vec<Unreadable> = Vec::new();
        for observation in &self.observations {
            let Err(error) = &observation.answer else {
                continue;
            };
            if error.kind == ObserveErrorKind::NotFound {
                continue;
            }
            let read = observation.query.to_string();
            match all.iter_mut().find(|u| u.code == error.code) {
                Some(unreadable) => unreadable.reads.push(read),
                None => all.push(Unreadable {
                    code: error.code,
                    message: error.message.clone(),
                    next: next_of(error.code).to_owned(),
                    reads: vec![read],
                }),
            }
        }
        all
    }

    /// Why it says little of the cluster: nothing of Kubernetes could be read, or no
    /// cause could be judged at all and some read failed.
    pub fn failure(&self) -> Option<Code> {
        let is_unknown = |finding: &Finding| finding.judgement == Judgement::Unknown;
        if let Some(error) = self.kubernetes_failure() {
            return Some(error.code);
        }
        if !self.findings.iter().all(is_unknown) {
            return None;
        }
        self.unreadable().first().map(|unreadable| unreadable.code)
    }

    /// The first failure, where each read of Kubernetes failed.
    fn kubernetes_failure(&self) -> Option<&ObserveError> {
        let mut first = None;
        for observation in &self.observations {
            let (Query::KubernetesGet { .. } | Query::KubernetesList { .. }) = &observation.query
            else {
                continue;
            };
            match &observation.answer {
                Err(error) if error.kind != ObserveErrorKind::NotFound => {
                    first = first.or(Some(error));
                }
                _ => return None,
            }
        }
        first
    }
}

/// What to do about reads that failed with this code. An observation keeps no
/// such advice: it is what a plugin read, and that was none of it.
pub(crate) fn next_of(code: Code) -> &'static str {
    match (code, code.category()) {
        (Code::KubeconfigInvalid, _) => {
            "correct the kubeconfig (`kubectl config view` reads the same file), then diagnose again"
        }
        (Code::ObservationNotGranted, _) => {
            "grant the plugin what it asks for by `plugins.grants`, then diagnose again"
        }
        (Code::AzureUnauthenticated, _) => {
            "sign in (`az login`) or configure a credential by `[azure]`, then diagnose again"
        }
        (Code::AzureUnreachable, _) => {
            "see that this machine reaches Azure (network, proxy, `azure.endpoint`), then \
             diagnose again"
        }
        (Code::AzureForbidden, _) => {
            "give the identity the action that the message names, then diagnose again"
        }
        (Code::AzureThrottled, _) => "wait some minutes, then diagnose again",
        (Code::KubernetesUnavailable, _) => {
            "see that `kubectl get nodes` answers with the same kubeconfig, then diagnose again"
        }
        (Code::KubernetesUnauthenticated, _) => {
            "renew the kubeconfig's credentials (`az aks get-credentials`), then diagnose again"
        }
        (Code::KubernetesForbidden, _) => {
            "give the kubeconfig's user the right to read what the message names, then \
             diagnose again"
        }
        (_, Category::Unauthenticated) => "give credentials that are accepted, then diagnose again",
        (_, Category::PermissionDenied) => {
            "let the identity read what the message names, then diagnose again"
        }
        (_, Category::Aborted) => "wait for what is at work there, then diagnose again",
        (_, Category::ResourceExhausted | Category::Unavailable | Category::DeadlineExceeded) => {
            "diagnose again; if it stays so, look at what does not answer"
        }
        _ => "look at what the message names, then diagnose again",
    }
}

/// A plugin that gave no finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PluginFailure {
    /// Its id.
    pub plugin: String,
    /// Why.
    pub error: Error,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_of_the_credentials_and_of_the_network_has_a_next_step_of_its_own() {
        let codes = [
            Code::AzureUnauthenticated,
            Code::AzureUnreachable,
            Code::AzureForbidden,
            Code::KubernetesUnauthenticated,
            Code::KubernetesForbidden,
            Code::KubernetesUnavailable,
            Code::KubeconfigInvalid,
        ];
        let steps: std::collections::BTreeSet<_> = codes.map(next_of).into();
        assert_eq!(steps.len(), codes.len());
        assert!(next_of(Code::AzureUnauthenticated).contains("az login"));
        assert!(next_of(Code::AzureUnreachable).contains("network"));
    }
}
