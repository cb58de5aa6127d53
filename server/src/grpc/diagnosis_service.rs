//! `naosu.v1.DiagnosisService`.

use naosu_engine::{
    facade::DiagnoseRequest as Wanted,
    model::{DiagnosisId, Symptom},
};
use naosu_proto::v1::{
    DiagnoseRequest, DiagnoseResponse, GetDiagnosisRequest, GetDiagnosisResponse,
    ListDiagnosesRequest, ListDiagnosesResponse, diagnosis_service_server::DiagnosisService,
};
use tonic::{Request, Response, Status, async_trait};

use super::{
    serve::{Served, caller_of, cluster_of},
    status::status_of_error,
    stream::{MessageStream, messages},
    wire::{Wire, WireError},
};

#[async_trait]
impl DiagnosisService for Served {
    type DiagnoseStream = MessageStream<DiagnoseResponse>;

    async fn diagnose(
        &self,
        request: Request<DiagnoseRequest>,
    ) -> Result<Response<Self::DiagnoseStream>, Status> {
        let caller = caller_of(&request)?;
        let DiagnoseRequest {
            cluster,
            symptom,
            plugins,
        } = request.into_inner();
        let wanted = Wanted {
            cluster: cluster_of(&cluster)?,
            symptom: match symptom {
                Some(symptom) => Symptom::from_wire(symptom)
                    .map_err(|e: WireError| status_of_error(e.of_request()))?,
                None => Symptom::default(),
            },
            plugins,
        };
        let begun = self.naosu.diagnose(&caller.principal, wanted);
        let progress = self.answer(begun).await?;
        let stream = messages(progress, self.stop.clone(), Wire::into_wire);
        Ok(Response::new(stream))
    }

    async fn get_diagnosis(
        &self,
        request: Request<GetDiagnosisRequest>,
    ) -> Result<Response<GetDiagnosisResponse>, Status> {
        let id = DiagnosisId(request.into_inner().id);
        let diagnosis = self.answer(self.naosu.diagnosis(&id)).await?;
        Ok(Response::new(GetDiagnosisResponse {
            diagnosis: diagnosis.into_wire(),
        }))
    }

    async fn list_diagnoses(
        &self,
        request: Request<ListDiagnosesRequest>,
    ) -> Result<Response<ListDiagnosesResponse>, Status> {
        let cluster = request.into_inner().cluster;
        let cluster = cluster.as_deref().map(cluster_of).transpose()?;
        let diagnoses = self.answer(self.naosu.diagnoses(cluster.as_ref())).await?;
        Ok(Response::new(ListDiagnosesResponse {
            diagnoses: diagnoses.into_wire(),
        }))
    }
}
