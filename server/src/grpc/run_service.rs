//! `naosu.v1.RunService`.

use naosu_engine::model::{PlanId, RunId};
use naosu_proto::v1::{
    ApplyPlanRequest, ApplyPlanResponse, GetRunRequest, GetRunResponse, ListRunsRequest,
    ListRunsResponse, RollbackRunRequest, RollbackRunResponse, WatchRunRequest, WatchRunResponse,
    run_service_server::RunService,
};
use tonic::{Request, Response, Status, async_trait};

use super::{
    serve::{Served, caller_of, cluster_of},
    stream::{MessageStream, messages},
    wire::Wire,
};

#[async_trait]
impl RunService for Served {
    type WatchRunStream = MessageStream<WatchRunResponse>;

    async fn apply_plan(
        &self,
        request: Request<ApplyPlanRequest>,
    ) -> Result<Response<ApplyPlanResponse>, Status> {
        let caller = caller_of(&request)?;
        let plan = PlanId(request.into_inner().plan);
        let run = self
            .changed(|naosu| async move { naosu.apply(&caller.principal, &plan).await })
            .await?;
        Ok(Response::new(ApplyPlanResponse {
            run: run.into_wire(),
        }))
    }

    async fn get_run(
        &self,
        request: Request<GetRunRequest>,
    ) -> Result<Response<GetRunResponse>, Status> {
        let id = RunId(request.into_inner().id);
        let run = self.answer(self.naosu.run(&id)).await?;
        Ok(Response::new(GetRunResponse {
            run: run.into_wire(),
        }))
    }

    async fn list_runs(
        &self,
        request: Request<ListRunsRequest>,
    ) -> Result<Response<ListRunsResponse>, Status> {
        let cluster = request.into_inner().cluster;
        let cluster = cluster.as_deref().map(cluster_of).transpose()?;
        let runs = self.answer(self.naosu.runs(cluster.as_ref())).await?;
        Ok(Response::new(ListRunsResponse {
            runs: runs.into_wire(),
        }))
    }

    async fn watch_run(
        &self,
        request: Request<WatchRunRequest>,
    ) -> Result<Response<Self::WatchRunStream>, Status> {
        let id = RunId(request.into_inner().id);
        let runs = self.answer(self.naosu.watch_run(&id)).await?;
        let stream = messages(runs, self.stop.clone(), |run| WatchRunResponse {
            run: run.into_wire(),
        });
        Ok(Response::new(stream))
    }

    async fn rollback_run(
        &self,
        request: Request<RollbackRunRequest>,
    ) -> Result<Response<RollbackRunResponse>, Status> {
        let caller = caller_of(&request)?;
        let id = RunId(request.into_inner().id);
        let run = self
            .changed(|naosu| async move { naosu.rollback(&caller.principal, &id).await })
            .await?;
        Ok(Response::new(RollbackRunResponse {
            run: run.into_wire(),
        }))
    }
}
