//! Approvals and rejections.

use super::{Engine, diagnosing::now};
use crate::{
    error::{Code, Error},
    journal::run_of,
    model::{Approval, Decision, Digest, Plan, PlanId, Principal, RunId, run::RunState},
    run::record,
    store::StoreError,
};

/// How often others may decide at the same moment before giving up.
const RACES_AT_MOST: u32 = 16;

impl Engine {
    pub(super) async fn decide(
        &self,
        principal: &Principal,
        id: &PlanId,
        digest: &Digest,
        decision: Decision,
        comment: &str,
    ) -> Result<Plan, Error> {
        let mut races = 0;
        loop {
            let at = now(self);
            let mut record = self.stored_plan(id).await?;
            let plan = record.clone().at(at);
            self.tools
                .policy
                .may_decide(&plan, principal, digest, decision)?;
            if let Some(run) = &plan.run {
                self.require_going_forward(run, &plan.id).await?;
            }
            let approval = Approval {
                principal: principal.clone(),
                decision,
                digest: digest.clone(),
                comment: comment.to_owned(),
                at,
            };
            let number = u32::try_from(record.approvals.len()).unwrap_or(u32::MAX);
            match self.store().add_approval(id, number, &approval).await {
                Ok(()) => {
                    record.approvals.push(approval);
                    return Ok(record.at(at));
                }
                // Someone decided meanwhile: judge anew.
                Err(StoreError::Taken { .. }) if races < RACES_AT_MOST => races += 1,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Whether deciding on the plan of this run still has an effect: a rejection
    /// stops it before its next step.
    async fn require_going_forward(&self, run: &RunId, plan: &PlanId) -> Result<(), Error> {
        let state = run_of(&record(self.store(), run).await?)?.state;
        if state == RunState::Applying {
            return Ok(());
        }
        Err(Error::new(
            Code::PlanAlreadyApplied,
            format!("{} was applied in {}, which is {state:?}", plan.0, run.0),
            "look at that run; `naosu run rollback` takes back what it did",
        ))
    }
}
