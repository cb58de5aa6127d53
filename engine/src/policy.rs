//! The approval policy: who may approve, how many must, and until when.

use std::{collections::BTreeSet, time::Duration};

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    error::{Code, Error},
    model::{
        Approval, Decision, Diagnosis, Digest, Inverse, Plan, PlanState, Principal, Risk, Step,
        plan::PlanContent,
    },
};

/// Codes of warnings that ask for the stronger approval.
const STRONG_WARNINGS: [&str; 2] = ["aks_unsupported", "managed_nsg_reset"];

fn is_of_highest_risk(steps: &[Step]) -> bool {
    steps.iter().any(|step| step.risk == Risk::Highest)
}

fn is_irreversible(steps: &[Step]) -> bool {
    let mut inverses = steps.iter().map(|step| &step.inverse);
    inverses.any(|inverse| matches!(inverse, Inverse::Irreversible { .. }))
}

/// Why a plan asks for the stronger approval, each a clause; empty when it does not.
pub fn strong_reasons(content: &PlanContent) -> Vec<&'static str> {
    let warns = |code: &str| content.warnings.iter().any(|warning| warning.code == code);
    [
        (
            is_irreversible(&content.steps),
            "a step of it cannot be taken back",
        ),
        (warns("aks_unsupported"), "AKS does not support it"),
        (
            warns("managed_nsg_reset"),
            "AKS manages the security group that it changes",
        ),
        (
            is_of_highest_risk(&content.steps),
            "its risk is the highest",
        ),
    ]
    .into_iter()
    .filter_map(|(holds, why)| holds.then_some(why))
    .collect()
}

/// Set by the operator. A plan names the version it was made under, so that no
/// approval outlives a change of policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// Whether who asked for a plan may approve it.
    pub requester_may_approve: bool,
    /// How many approvals an ordinary plan needs; at least 1.
    pub approvals: u32,
    /// How many a plan needs that cannot be taken back, that AKS does not
    /// support, or whose risk is the highest; at least `approvals`.
    pub strong_approvals: u32,
    /// Names of the principals that may approve; empty for every authenticated person.
    pub approvers: Vec<String>,
    /// How long a plan can be approved and applied, in seconds.
    pub plan_valid_for_secs: u64,
    /// How old a diagnosis may be when a plan is made of it, in seconds.
    pub diagnosis_valid_for_secs: u64,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            requester_may_approve: true,
            approvals: 1,
            strong_approvals: 2,
            approvers: Vec::new(),
            plan_valid_for_secs: 3600,
            diagnosis_valid_for_secs: 3600,
        }
    }
}

impl Policy {
    /// Its version: changes whenever anything in it does.
    pub fn version(&self) -> String {
        Digest::of_value(self).map_or_else(|_| "unversioned".to_owned(), |d| d.short().to_owned())
    }

    /// What makes no sense in a policy: each wrong setting with its reason.
    pub fn faults(&self) -> Vec<(&'static str, String)> {
        let mut wrong = Vec::new();
        if self.approvals == 0 {
            wrong.push(("approvals", "is 0, but must be at least 1".to_owned()));
        }
        if self.strong_approvals < self.approvals {
            let reason = format!(
                "is {}, less than approvals ({})",
                self.strong_approvals, self.approvals
            );
            wrong.push(("strong_approvals", reason));
        }
        if self.plan_valid_for_secs == 0 {
            wrong.push((
                "plan_valid_for_secs",
                "is 0: no plan could be approved".to_owned(),
            ));
        }
        if self.diagnosis_valid_for_secs == 0 {
            wrong.push((
                "diagnosis_valid_for_secs",
                "is 0: no diagnosis could be planned from".to_owned(),
            ));
        }
        let people: BTreeSet<String> = self
            .approvers
            .iter()
            .map(|name| Principal::person(name).person_behind().to_owned())
            .collect();
        let few = u32::try_from(people.len()).unwrap_or(u32::MAX);
        if few > 0 && few < self.strong_approvals {
            let reason = format!(
                "names {few} where a person counts once, but strong_approvals is {}",
                self.strong_approvals
            );
            wrong.push(("approvers", reason));
        }
        wrong
    }

    /// Whether a policy makes sense.
    ///
    /// # Errors
    /// `invalid_configuration`, naming every wrong value.
    pub fn check(&self) -> Result<(), Error> {
        let faults = self.faults();
        if faults.is_empty() {
            return Ok(());
        }
        let wrong: Vec<String> = faults
            .iter()
            .map(|(setting, reason)| format!("{setting} {reason}"))
            .collect();
        Err(Error::new(
            Code::InvalidConfiguration,
            wrong.join("; "),
            "correct the approval policy",
        ))
    }

    /// How many approvals steps with these warnings need.
    pub fn approvals_needed<'a>(
        &self,
        steps: &[Step],
        mut warning_codes: impl Iterator<Item = &'a str>,
    ) -> u32 {
        let strong = warning_codes.any(|code| STRONG_WARNINGS.contains(&code));
        if strong || is_of_highest_risk(steps) || is_irreversible(steps) {
            self.strong_approvals
        } else {
            self.approvals
        }
    }

    /// When a plan made at `created_at` expires.
    pub fn expiry(&self, created_at: Timestamp) -> Timestamp {
        let valid = Duration::from_secs(self.plan_valid_for_secs);
        SignedDuration::try_from(valid)
            .ok()
            .and_then(|valid| created_at.checked_add(valid).ok())
            .unwrap_or(Timestamp::MAX)
    }

    /// Whether a plan may be made at `at` of a diagnosis whose first read was then.
    ///
    /// # Errors
    /// `diagnosis_expired`, naming its age and the bound.
    pub fn may_plan_from(&self, diagnosis: &Diagnosis, at: Timestamp) -> Result<(), Error> {
        let age = at.duration_since(diagnosis.started_at);
        let bound = self.diagnosis_valid_for_secs;
        if age.is_negative() || age.unsigned_abs() <= Duration::from_secs(bound) {
            return Ok(());
        }
        Err(Error::new(
            Code::DiagnosisExpired,
            format!(
                "{} was begun {} minutes ago, and a plan is made of what was read at most {} \
                 minutes ago",
                diagnosis.id.0,
                age.as_secs() / 60,
                bound / 60
            ),
            "diagnose again, and make the plan of that diagnosis",
        ))
    }

    /// Whether this principal may decide on this plan, seen with this digest.
    ///
    /// # Errors
    /// `approval_forbidden`, `stale_digest`, `plan_expired`, `plan_rejected`,
    /// `plan_already_decided`, or `drift` when the policy changed since.
    pub fn may_decide(
        &self,
        plan: &Plan,
        principal: &Principal,
        digest: &Digest,
        decision: Decision,
    ) -> Result<(), Error> {
        let forbidden =
            |message: String, next: &str| Err(Error::new(Code::ApprovalForbidden, message, next));
        let (name, person) = (&principal.name, principal.person_behind());
        if principal.is_assistant {
            return forbidden(
                format!("{name} is an assistant, and an assistant never decides on a plan"),
                "ask a person to look at the plan and to run `naosu plan approve`",
            );
        }
        if !self.approvers.is_empty() && !self.approvers.contains(name) {
            return forbidden(
                format!("{name} is not among the approvers of the policy"),
                "ask one of the approvers, or change the policy",
            );
        }
        if decision == Decision::Approve
            && !self.requester_may_approve
            && plan.content.requester.person_behind() == person
        {
            let requester = &plan.content.requester.name;
            return forbidden(
                format!(
                    "{person} asked for this plan, as {requester}, and the policy wants someone \
                     else to approve"
                ),
                "ask another approver",
            );
        }
        if *digest != plan.digest {
            return Err(Error::new(
                Code::StaleDigest,
                format!(
                    "the digest given is {digest}, but {} has {}",
                    plan.id.0, plan.digest
                ),
                "show the plan again and decide on what it says now",
            ));
        }
        self.require_open(plan)?;
        if plan.state == PlanState::Approved && decision == Decision::Approve {
            return Err(Error::new(
                Code::PlanAlreadyDecided,
                format!("{} is approved already", plan.id.0),
                format!("apply it: `naosu apply {}`", plan.id.0),
            ));
        }
        let mine = |a: &&Approval| a.principal.person_behind() == person && a.decision == decision;
        if let Some(before) = plan.approvals.iter().find(mine) {
            return Err(Error::new(
                Code::PlanAlreadyDecided,
                format!(
                    "{person} has decided on {} before, as {}; it has {} of {} approvals",
                    plan.id.0,
                    before.principal.name,
                    plan.approvals.len(),
                    plan.content.approvals_needed
                ),
                format!(
                    "another person has to approve it: `naosu plan show {}` has the command",
                    plan.id.0
                ),
            ));
        }
        Ok(())
    }

    /// Whether an approved plan may be applied now.
    ///
    /// # Errors
    /// `plan_expired`, `plan_rejected`, `plan_not_approved`, or `drift` when
    /// the policy changed since.
    pub fn may_apply(&self, plan: &Plan) -> Result<(), Error> {
        self.require_open(plan)?;
        let bound = plan.approvals.iter().all(|a| a.digest == plan.digest);
        if plan.state == PlanState::Approved && bound {
            return Ok(());
        }
        Err(Error::new(
            Code::PlanNotApproved,
            format!(
                "{} has {} of {} approvals",
                plan.id.0,
                plan.approvals.len(),
                plan.content.approvals_needed
            ),
            "have it approved: `naosu plan approve`",
        ))
    }

    fn require_open(&self, plan: &Plan) -> Result<(), Error> {
        let id = &plan.id.0;
        match plan.state {
            PlanState::Rejected => {
                return Err(Error::new(
                    Code::PlanRejected,
                    format!("{id} was rejected"),
                    "make a new plan",
                ));
            }
            PlanState::Expired => {
                return Err(Error::new(
                    Code::PlanExpired,
                    format!("{id} expired at {}", plan.content.expires_at),
                    "diagnose again and make a new plan",
                ));
            }
            PlanState::PendingApproval | PlanState::Approved => {}
        }
        if plan.content.policy_version != self.version() {
            return Err(Error::new(
                Code::Drift,
                format!(
                    "{id} was made under policy {}, but {} is in force",
                    plan.content.policy_version,
                    self.version()
                ),
                "make a new plan",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_change_of_the_policy_changes_its_version() {
        let policy = Policy::default();
        let stricter = Policy {
            requester_may_approve: false,
            ..Policy::default()
        };
        assert_ne!(policy.version(), stricter.version());
        assert_eq!(policy.version(), Policy::default().version());
    }

    #[test]
    fn a_policy_that_cannot_be_met_is_refused_with_every_fault() {
        let policy = Policy {
            approvals: 0,
            strong_approvals: 2,
            approvers: vec!["alice".into()],
            plan_valid_for_secs: 0,
            diagnosis_valid_for_secs: 0,
            ..Policy::default()
        };
        let error = policy.check().unwrap_err();
        assert_eq!(error.code, Code::InvalidConfiguration);
        assert_eq!(error.message.split("; ").count(), 4, "{}", error.message);
        assert!(Policy::default().check().is_ok());
        let one_person = Policy {
            approvers: vec!["alice".into(), "os-user:alice".into()],
            ..Policy::default()
        };
        let error = one_person.check().unwrap_err();
        assert!(error.message.contains("approvers names 1"), "{error}");
    }
}
