//! Making plans, and making them again.

use std::{collections::BTreeSet, sync::Arc};

use super::{Engine, diagnosing::now};
use crate::{
    error::{Code, Error},
    facade::PlanRequest,
    model::{Diagnosis, DiagnosisId, Digest, Plan, PlanId, Principal, Query, plan::PlanContent},
    planning::{Derivation, DryRuns, derive, select},
    snapshot::Snapshot,
    store::{PlanInputs, PlanRecord},
};

impl Engine {
    pub(super) async fn make_plan(
        &self,
        principal: &Principal,
        request: &PlanRequest,
    ) -> Result<Plan, Error> {
        let diagnosis = self.stored_diagnosis(&request.diagnosis).await?;
        let created_at = now(self);
        self.tools.policy.may_plan_from(&diagnosis, created_at)?;
        let wanted = request.plugin.as_deref();
        let (finding, plugin) = select(&diagnosis, wanted, &self.tools.plugins)?;
        let cluster = diagnosis.cluster.clone();
        let snapshot = Snapshot::live(
            cluster.clone(),
            Arc::clone(&self.tools.observer),
            Arc::clone(&self.tools.clock),
        );
        let snapshot = Arc::new(snapshot.with_recorded(diagnosis.observations.clone()));
        let mut dry_runs = DryRuns::asked(Arc::clone(&self.tools.effector), cluster);
        let from = Derivation {
            diagnosis: &diagnosis,
            finding,
            plugin: plugin.as_ref(),
            parameters: &request.parameters,
            requester: principal,
            created_at,
            policy: &self.tools.policy,
        };
        let content = derive(from, &snapshot, &mut dry_runs).await?;
        let record = PlanRecord {
            id: PlanId(format!("plan-{}", uuid::Uuid::now_v7())),
            digest: digest(&content)?,
            content,
            approvals: Vec::new(),
            run: None,
        };
        // The diagnosis is kept, and so is what it read.
        let known: BTreeSet<&Query> = diagnosis.observations.iter().map(|o| &o.query).collect();
        let observations = snapshot.observations().into_iter();
        let mut inputs = PlanInputs {
            observations: observations
                .filter(|observation| !known.contains(&observation.query))
                .collect(),
            ..PlanInputs::default()
        };
        dry_runs.record_in(&mut inputs);
        self.store().add_plan(&record, &inputs).await?;
        Ok(record.at(created_at))
    }

    /// Derives a stored plan again, from the recorded observations alone, as
    /// of the time it was made: the same plugin gives the same plan, and so
    /// the same digest, byte for byte.
    ///
    /// # Errors
    /// `plan_not_found`, `drift` when the plugin is another by now, or what
    /// planning fails with.
    pub async fn rederive(&self, id: &PlanId) -> Result<(PlanContent, Digest), Error> {
        let plan = self.stored_plan(id).await?;
        let content = &plan.content;
        let plugin = crate::run::same_plugin(&self.tools.plugins, content)?;
        let diagnosis = self.stored_diagnosis(&content.diagnosis).await?;
        let inputs = self.store().plan_inputs(id).await?;
        let inputs = inputs.ok_or_else(|| plan_not_found(id))?;
        let snapshot = Arc::new(Snapshot::replay(
            content.cluster.clone(),
            diagnosis
                .observations
                .iter()
                .cloned()
                .chain(inputs.observations.iter().cloned()),
            Arc::clone(&self.tools.clock),
        ));
        let parameters = content.parameters.as_object().cloned().unwrap_or_default();
        let from = Derivation {
            diagnosis: &diagnosis,
            finding: &content.finding,
            plugin: plugin.as_ref(),
            parameters: &parameters,
            requester: &content.requester,
            created_at: content.created_at,
            policy: &self.tools.policy,
        };
        let mut dry_runs = DryRuns::recorded(inputs);
        let again = derive(from, &snapshot, &mut dry_runs).await?;
        let digest = digest(&again)?;
        Ok((again, digest))
    }

    pub(super) async fn stored_diagnosis(&self, id: &DiagnosisId) -> Result<Diagnosis, Error> {
        self.store().diagnosis(id).await?.ok_or_else(|| {
            Error::new(
                Code::DiagnosisNotFound,
                format!("there is no diagnosis {:?}", id.0),
                "diagnose the cluster first",
            )
        })
    }

    pub(super) async fn stored_plan(&self, id: &PlanId) -> Result<PlanRecord, Error> {
        self.store()
            .plan(id)
            .await?
            .ok_or_else(|| plan_not_found(id))
    }
}

fn plan_not_found(id: &PlanId) -> Error {
    Error::new(
        Code::PlanNotFound,
        format!("there is no plan {:?}", id.0),
        "`naosu plan list` shows the plans",
    )
}

fn digest(content: &PlanContent) -> Result<Digest, Error> {
    Digest::of_value(content).map_err(|e| {
        Error::new(
            Code::Internal,
            format!("the plan has no canonical form: {e}"),
            "report this",
        )
    })
}
