//! Building a finding.

use crate::{Evidence, Finding, Flow, Judgement, PluginError, error};

/// Most pieces of evidence that a finding carries; a person reads them.
const EVIDENCE: usize = 100;

/// A finding in the making.
#[derive(Clone, Debug)]
pub struct FindingBuilder(Finding);

/// Begins a finding of this cause.
pub fn finding(
    cause: impl Into<String>,
    judgement: Judgement,
    summary: impl Into<String>,
) -> FindingBuilder {
    FindingBuilder(Finding {
        cause: cause.into(),
        judgement,
        summary: summary.into(),
        evidence: Vec::new(),
        required_flows: Vec::new(),
        infeasible: None,
        subject: String::new(),
    })
}

impl FindingBuilder {
    /// A finding that is unknown because something could not be read.
    pub fn unreadable(cause: impl Into<String>, what: &str, error: &PluginError) -> Self {
        let summary = format!("{what} could not be judged: {}", error::in_words(error));
        finding(cause, Judgement::Unknown, summary)
    }

    /// Adds a value that decides.
    #[must_use]
    pub fn evidence(mut self, evidence: Evidence) -> Self {
        if self.0.evidence.len() < EVIDENCE {
            self.0.evidence.push(evidence);
        }
        self
    }

    /// Adds several.
    #[must_use]
    pub fn evidence_of(self, evidence: impl IntoIterator<Item = Evidence>) -> Self {
        evidence.into_iter().fold(self, Self::evidence)
    }

    /// Adds packets that the fix must let pass.
    #[must_use]
    pub fn required_flow(mut self, flow: Flow) -> Self {
        self.0.required_flows.push(flow);
        self
    }

    /// Says why the fix cannot be done on this cluster and what can.
    #[must_use]
    pub fn infeasible(mut self, reason: Option<String>) -> Self {
        self.0.infeasible = reason;
        self
    }

    /// What `plan` needs to know again, as JSON.
    #[must_use]
    pub fn subject(mut self, subject: &serde_json::Value) -> Self {
        self.0.subject = subject.to_string();
        self
    }

    /// The finding.
    pub fn build(self) -> Finding {
        self.0
    }
}
