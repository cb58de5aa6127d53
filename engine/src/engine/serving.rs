//! The façade, answered by this process.

use async_trait::async_trait;

use super::{Engine, LISTED_AT_MOST, diagnosing::now};
use crate::{
    error::Error,
    facade::{DiagnoseProgress, DiagnoseRequest, ItemStream, Naosu, PlanFilter, PlanRequest},
    journal::run_of,
    model::{
        ClusterId, Decision, Diagnosis, DiagnosisId, Digest, Plan, PlanId, PluginInfo, Principal,
        Run, RunId,
    },
    planning::not_loaded,
    run::record,
};

#[async_trait]
impl Naosu for Engine {
    async fn plugins(&self) -> Result<Vec<PluginInfo>, Error> {
        let plugins = self.tools.plugins.values();
        Ok(plugins.map(|p| p.info().clone()).collect())
    }

    async fn plugin(&self, id: &str) -> Result<PluginInfo, Error> {
        let plugin = self.tools.plugins.get(id);
        plugin
            .map(|p| p.info().clone())
            .ok_or_else(|| not_loaded(id))
    }

    async fn diagnose(
        &self,
        principal: &Principal,
        request: DiagnoseRequest,
    ) -> Result<ItemStream<DiagnoseProgress>, Error> {
        self.begin_diagnosis(principal, request)
    }

    async fn diagnosis(&self, id: &DiagnosisId) -> Result<Diagnosis, Error> {
        self.stored_diagnosis(id).await
    }

    async fn diagnoses(&self, cluster: Option<&ClusterId>) -> Result<Vec<Diagnosis>, Error> {
        Ok(self.store().diagnoses(cluster, LISTED_AT_MOST).await?)
    }

    async fn create_plan(
        &self,
        principal: &Principal,
        request: PlanRequest,
    ) -> Result<Plan, Error> {
        self.make_plan(principal, &request).await
    }

    async fn plan(&self, id: &PlanId) -> Result<Plan, Error> {
        Ok(self.stored_plan(id).await?.at(now(self)))
    }

    async fn plans(&self, filter: &PlanFilter) -> Result<Vec<Plan>, Error> {
        let cluster = filter.cluster.as_ref();
        let plans = self.store().plans(cluster, LISTED_AT_MOST).await?;
        let at = now(self);
        Ok(plans
            .into_iter()
            .map(|plan| plan.at(at))
            .filter(|plan| filter.state.is_none_or(|state| plan.state == state))
            .collect())
    }

    async fn approve(
        &self,
        principal: &Principal,
        id: &PlanId,
        digest: &Digest,
        comment: &str,
    ) -> Result<Plan, Error> {
        self.decide(principal, id, digest, Decision::Approve, comment)
            .await
    }

    async fn reject(
        &self,
        principal: &Principal,
        id: &PlanId,
        digest: &Digest,
        comment: &str,
    ) -> Result<Plan, Error> {
        self.decide(principal, id, digest, Decision::Reject, comment)
            .await
    }

    async fn apply(&self, principal: &Principal, id: &PlanId) -> Result<Run, Error> {
        self.begin_run(principal, id).await
    }

    async fn run(&self, id: &RunId) -> Result<Run, Error> {
        run_of(&record(self.store(), id).await?)
    }

    async fn runs(&self, cluster: Option<&ClusterId>) -> Result<Vec<Run>, Error> {
        let runs = self.store().runs(cluster, LISTED_AT_MOST).await?;
        runs.iter().map(run_of).collect()
    }

    async fn watch_run(&self, id: &RunId) -> Result<ItemStream<Run>, Error> {
        self.follow(id).await
    }

    async fn rollback(&self, principal: &Principal, id: &RunId) -> Result<Run, Error> {
        self.begin_rollback(principal, id).await
    }
}
