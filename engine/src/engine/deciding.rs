//! Approvals and rejections.

use super::{Engine, diagnosing::now};
use crate::{
    error::Error,
    model::{Approval, Decision, Digest, Plan, PlanId, Principal},
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
            if let Some(run) = &plan.run {
                let (plan, run) = (id.0.clone(), run.0.clone());
                return Err(StoreError::PlanAlreadyApplied { plan, run }.into());
            }
            self.policy.may_decide(&plan, principal, digest, decision)?;
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
}
