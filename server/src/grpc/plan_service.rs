//! `naosu.v1.PlanService`.

use naosu_engine::{
    Code, Error,
    facade::{PlanFilter, PlanRequest},
    model::{DiagnosisId, Digest, PlanId, PlanState, Principal},
};
use naosu_proto::v1::{
    self, ApprovePlanRequest, ApprovePlanResponse, CreatePlanRequest, CreatePlanResponse,
    GetPlanRequest, GetPlanResponse, ListPlansRequest, ListPlansResponse, RejectPlanRequest,
    RejectPlanResponse, plan_service_server::PlanService,
};
use tonic::{Request, Response, Status, async_trait};

use super::{
    serve::{Served, caller_of, cluster_of},
    status::status_of_error,
    wire::{Wire, WireError},
};

#[async_trait]
impl PlanService for Served {
    async fn create_plan(
        &self,
        request: Request<CreatePlanRequest>,
    ) -> Result<Response<CreatePlanResponse>, Status> {
        let caller = caller_of(&request)?;
        let CreatePlanRequest {
            diagnosis,
            plugin,
            parameters_json,
        } = request.into_inner();
        let wanted = PlanRequest {
            diagnosis: DiagnosisId(diagnosis),
            plugin,
            parameters: parameters_of(&parameters_json).map_err(status_of_error)?,
        };
        let planning = self.naosu.create_plan(&caller.principal, wanted);
        let plan = self.planned(planning).await?;
        Ok(Response::new(CreatePlanResponse {
            plan: plan.into_wire(),
        }))
    }

    async fn get_plan(
        &self,
        request: Request<GetPlanRequest>,
    ) -> Result<Response<GetPlanResponse>, Status> {
        let id = PlanId(request.into_inner().id);
        let plan = self.answer(self.naosu.plan(&id)).await?;
        Ok(Response::new(GetPlanResponse {
            plan: plan.into_wire(),
        }))
    }

    async fn list_plans(
        &self,
        request: Request<ListPlansRequest>,
    ) -> Result<Response<ListPlansResponse>, Status> {
        let ListPlansRequest { cluster, state } = request.into_inner();
        let any_state = i32::from(v1::PlanState::Unspecified);
        let filter = PlanFilter {
            cluster: cluster.as_deref().map(cluster_of).transpose()?,
            state: (state != any_state)
                .then(|| PlanState::from_wire(state))
                .transpose()
                .map_err(|e: WireError| status_of_error(e.of_request()))?,
        };
        let plans = self.answer(self.naosu.plans(&filter)).await?;
        Ok(Response::new(ListPlansResponse {
            plans: plans.into_wire(),
        }))
    }

    async fn approve_plan(
        &self,
        request: Request<ApprovePlanRequest>,
    ) -> Result<Response<ApprovePlanResponse>, Status> {
        let (principal, digest) = decider(&request, &request.get_ref().digest)?;
        let ApprovePlanRequest { id, comment, .. } = request.into_inner();
        let plan = self
            .changed(|naosu| async move {
                naosu
                    .approve(&principal, &PlanId(id), &digest, &comment)
                    .await
            })
            .await?;
        Ok(Response::new(ApprovePlanResponse {
            plan: plan.into_wire(),
        }))
    }

    async fn reject_plan(
        &self,
        request: Request<RejectPlanRequest>,
    ) -> Result<Response<RejectPlanResponse>, Status> {
        let (principal, digest) = decider(&request, &request.get_ref().digest)?;
        let RejectPlanRequest { id, comment, .. } = request.into_inner();
        let plan = self
            .changed(|naosu| async move {
                naosu
                    .reject(&principal, &PlanId(id), &digest, &comment)
                    .await
            })
            .await?;
        Ok(Response::new(RejectPlanResponse {
            plan: plan.into_wire(),
        }))
    }
}

/// Who decides, when the caller may, and on what exactly.
fn decider<T>(request: &Request<T>, digest: &str) -> Result<(Principal, Digest), Status> {
    let caller = caller_of(request)?;
    caller
        .role
        .may_decide(&caller.principal.name)
        .map_err(status_of_error)?;
    let digest = digest_of(digest).map_err(status_of_error)?;
    Ok((caller.principal, digest))
}

fn parameters_of(json: &str) -> Result<serde_json::Map<String, serde_json::Value>, Error> {
    if json.is_empty() {
        return Ok(serde_json::Map::new());
    }
    serde_json::from_str(json).map_err(|e| {
        Error::new(
            Code::InvalidParameter,
            format!("parameters_json is not a JSON object: {e}"),
            "give an object such as {\"port\": 10250}; `naosu plugin inspect` lists the parameters",
        )
    })
}

/// Reads a whole digest.
///
/// # Errors
/// `invalid_parameter`.
pub fn digest_of(text: &str) -> Result<Digest, Error> {
    Digest::parse(text).ok_or_else(|| {
        Error::new(
            Code::InvalidParameter,
            format!("{text:?} is not a whole digest"),
            "give \"sha256:\" and 64 lower-case hex digits, as `naosu plan show` prints it",
        )
    })
}
