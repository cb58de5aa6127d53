//! gRPC over real sockets.

use futures::StreamExt;
use naosu_engine::{
    Code, Error, Naosu,
    facade::{DiagnoseProgress, DiagnoseRequest, PlanFilter, PlanRequest},
    model::{DiagnosisId, Digest, PlanId, Principal, RunId, Symptom},
};
use tonic::transport::Endpoint;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::{
    product::{CLUSTER, MESSAGE, NEXT, Scripted, Trouble},
    served::{Served, client},
};

fn nobody() -> Principal {
    Principal::person("whatever the client says")
}

fn request() -> DiagnoseRequest {
    DiagnoseRequest {
        cluster: CLUSTER.parse().unwrap(),
        symptom: Symptom::default(),
        plugins: Vec::new(),
    }
}

#[tokio::test]
async fn a_client_gives_the_same_as_the_product_it_is_a_client_of() {
    let served = Served::start(Scripted::default()).await;
    let (direct, remote) = (Scripted::default(), served.client());
    let dia = DiagnosisId("dia-1".into());
    let (plan, run) = (PlanId("plan-1".into()), RunId("run-1".into()));
    assert_eq!(remote.plugins().await, direct.plugins().await);
    assert_eq!(remote.plugin("x").await, direct.plugin("x").await);
    assert_eq!(remote.diagnosis(&dia).await, direct.diagnosis(&dia).await);
    assert_eq!(remote.diagnoses(None).await, direct.diagnoses(None).await);
    assert_eq!(remote.plan(&plan).await, direct.plan(&plan).await);
    let all = PlanFilter::default();
    assert_eq!(remote.plans(&all).await, direct.plans(&all).await);
    assert_eq!(remote.run(&run).await, direct.run(&run).await);
    assert_eq!(remote.runs(None).await, direct.runs(None).await);
    let watched: Vec<_> = remote.watch_run(&run).await.unwrap().collect().await;
    assert_eq!(watched, [direct.run(&run).await]);
    let news = |naosu: Box<dyn Naosu>| async move {
        let stream = naosu.diagnose(&nobody(), request()).await.unwrap();
        stream
            .collect::<Vec<Result<DiagnoseProgress, Error>>>()
            .await
    };
    assert_eq!(news(Box::new(remote)).await, news(Box::new(direct)).await);
    served.end().await;
}

#[tokio::test]
async fn every_code_arrives_exactly_whichever_call_fails() {
    for code in Code::ALL {
        let served = Served::start(Scripted::failing(Trouble::Error(*code))).await;
        let remote = served.client();
        let expected = Error::new(*code, MESSAGE, NEXT);
        let (plan, digest) = (PlanId("p".into()), Digest::of_bytes(b""));
        let wanted = PlanRequest {
            diagnosis: DiagnosisId("d".into()),
            plugin: None,
            parameters: serde_json::Map::new(),
        };
        let failures = [
            remote.plugins().await.unwrap_err(),
            remote.plan(&plan).await.unwrap_err(),
            remote.create_plan(&nobody(), wanted).await.unwrap_err(),
            remote
                .approve(&nobody(), &plan, &digest, "")
                .await
                .unwrap_err(),
            remote.apply(&nobody(), &plan).await.unwrap_err(),
            remote
                .rollback(&nobody(), &RunId("r".into()))
                .await
                .unwrap_err(),
            remote.diagnose(&nobody(), request()).await.err().unwrap(),
        ];
        for failure in failures {
            assert_eq!(failure, expected);
        }
        served.end().await;
    }
}

#[tokio::test]
async fn the_server_tells_who_calls_by_socket_and_by_token() {
    let product = Scripted::default();
    let asked = product.asked();
    let served = Served::start(product).await;
    let plan = PlanId("plan-1".into());
    let this_user = naosu_server::auth::this_user_name();
    served.client().apply(&nobody(), &plan).await.unwrap();
    let bob = served.tcp_client(Some("bob-secret"));
    bob.apply(&nobody(), &plan).await.unwrap();
    let bot = served.tcp_client(Some("bot-secret"));
    bot.apply(&nobody(), &plan).await.unwrap();
    let who: Vec<Principal> = asked
        .lock()
        .unwrap()
        .iter()
        .map(|(_, p)| p.clone())
        .collect();
    assert_eq!(
        who,
        [
            Principal::person(this_user),
            Principal::person("bob"),
            Principal::assistant("bot")
        ]
    );
    served.end().await;
}

#[tokio::test]
async fn without_a_right_token_tcp_is_refused_even_from_loopback() {
    let served = Served::start(Scripted::default()).await;
    for token in [None, Some("wrong"), Some("")] {
        let refusal = served.tcp_client(token).plugins().await.unwrap_err();
        assert_eq!(refusal.code, Code::Unauthenticated, "{token:?}");
    }
    served.end().await;
}

#[tokio::test]
async fn only_an_approver_decides_and_an_assistant_never() {
    let product = Scripted::default();
    let asked = product.asked();
    let served = Served::start(product).await;
    let (id, digest) = (PlanId("plan-1".into()), Digest::of_bytes(b""));
    for token in ["bob-secret", "bot-secret"] {
        let caller = served.tcp_client(Some(token));
        for refusal in [
            caller
                .approve(&nobody(), &id, &digest, "")
                .await
                .unwrap_err(),
            caller
                .reject(&nobody(), &id, &digest, "")
                .await
                .unwrap_err(),
        ] {
            assert_eq!(refusal.code, Code::ApprovalForbidden, "{token}");
        }
    }
    assert!(asked.lock().unwrap().is_empty(), "the product was asked");
    let alice = served.tcp_client(Some("alice-secret"));
    alice.approve(&nobody(), &id, &digest, "").await.unwrap();
    served.end().await;
}

/// The command line and MCP read ids themselves, so only another client sends these.
#[tokio::test]
async fn a_malformed_cluster_id_has_its_code_from_the_server_itself() {
    use naosu_proto::v1::{
        DiagnoseRequest, ListDiagnosesRequest, ListPlansRequest, ListRunsRequest,
        diagnosis_service_client::DiagnosisServiceClient, plan_service_client::PlanServiceClient,
        run_service_client::RunServiceClient,
    };
    use tonic::{Request, Status};
    use tonic_types::StatusExt as _;

    let product = Scripted::default();
    let asked = product.asked();
    let served = Served::start(product).await;
    let endpoint = Endpoint::from_shared(format!("http://{}", served.tcp)).unwrap();
    let channel = endpoint.connect().await.unwrap();
    let known = |mut request: Request<()>| -> Result<Request<()>, Status> {
        let token = "Bearer bob-secret".parse().unwrap();
        request.metadata_mut().insert("authorization", token);
        Ok(request)
    };
    let mut diagnoses = DiagnosisServiceClient::with_interceptor(channel.clone(), known);
    let mut plans = PlanServiceClient::with_interceptor(channel.clone(), known);
    let mut runs = RunServiceClient::with_interceptor(channel, known);
    for malformed in ["", "aks", "/subscriptions/x/aks", &format!("{CLUSTER}/y")] {
        let cluster = Some(malformed.to_owned());
        let diagnose = DiagnoseRequest {
            cluster: malformed.to_owned(),
            ..DiagnoseRequest::default()
        };
        let of_cluster = ListDiagnosesRequest {
            cluster: cluster.clone(),
        };
        let state = 0;
        let filter = ListPlansRequest {
            cluster: cluster.clone(),
            state,
        };
        for refusal in [
            diagnoses.diagnose(diagnose).await.err().unwrap(),
            diagnoses.list_diagnoses(of_cluster).await.err().unwrap(),
            plans.list_plans(filter).await.err().unwrap(),
            runs.list_runs(ListRunsRequest { cluster })
                .await
                .err()
                .unwrap(),
        ] {
            let info = refusal.get_details_error_info().unwrap();
            assert_eq!(info.reason, "invalid_resource_id", "{malformed:?}");
            assert_eq!(refusal.code(), tonic::Code::InvalidArgument);
        }
    }
    assert!(asked.lock().unwrap().is_empty());
    served.end().await;
}

#[tokio::test]
async fn what_could_not_be_read_is_told_to_every_client_with_its_code_and_next_step() {
    use naosu_proto::v1;
    use naosu_server::grpc::wire::Wire;
    let product = Scripted::failing(Trouble::NoKubeconfig);
    let dia = DiagnosisId("dia-1".into());
    let message: v1::Diagnosis = product.diagnosis(&dia).await.unwrap().into_wire();
    assert_eq!(message.not_readable.len(), 1);
    assert_eq!(message.not_readable[0].code, "kubeconfig_invalid");
    assert_eq!(message.not_readable[0].message, MESSAGE);
    assert_ne!(message.not_readable[0].next, "");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named() {
    let error = client("unix:///nowhere/naosu.sock", None)
        .plugins()
        .await
        .unwrap_err();
    assert_eq!(error.code, Code::ServerUnreachable);
    assert!(
        error.message.contains("unix:///nowhere/naosu.sock"),
        "{error}"
    );
}

#[tokio::test]
async fn health_is_serving_without_a_token() {
    let served = Served::start(Scripted::default()).await;
    let endpoint = Endpoint::from_shared(format!("http://{}", served.tcp)).unwrap();
    let mut health = HealthClient::new(endpoint.connect().await.unwrap());
    for service in ["", "naosu.v1.PlanService", "naosu.v1.RunService"] {
        let request = HealthCheckRequest {
            service: service.to_owned(),
        };
        let status = health.check(request).await.unwrap().into_inner().status();
        assert_eq!(status, ServingStatus::Serving, "{service}");
    }
    served.end().await;
}

#[tokio::test]
async fn reflection_describes_every_service_without_a_token() {
    use tonic_reflection::pb::v1::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };
    let served = Served::start(Scripted::default()).await;
    let endpoint = Endpoint::from_shared(format!("http://{}", served.tcp)).unwrap();
    let mut client = ServerReflectionClient::new(endpoint.connect().await.unwrap());
    let ask = |message_request| ServerReflectionRequest {
        host: String::new(),
        message_request: Some(message_request),
    };
    let services = [
        "naosu.v1.DiagnosisService",
        "naosu.v1.PlanService",
        "naosu.v1.PluginService",
        "naosu.v1.RunService",
        "grpc.health.v1.Health",
    ];
    let mut questions = vec![ask(MessageRequest::ListServices(String::new()))];
    questions.extend(
        services.map(|service| ask(MessageRequest::FileContainingSymbol(service.to_owned()))),
    );
    let answers = client.server_reflection_info(futures::stream::iter(questions));
    let mut answers = answers.await.unwrap().into_inner();
    let mut next = async || answers.next().await.unwrap().unwrap().message_response;
    let Some(MessageResponse::ListServicesResponse(listed)) = next().await else {
        panic!("no list");
    };
    let listed: Vec<String> = listed.service.into_iter().map(|s| s.name).collect();
    for service in services {
        assert!(listed.iter().any(|l| l == service), "{service}: {listed:?}");
        let Some(MessageResponse::FileDescriptorResponse(file)) = next().await else {
            panic!("{service} is not described");
        };
        assert!(!file.file_descriptor_proto.is_empty(), "{service}");
    }
    served.end().await;
}

#[tokio::test]
async fn the_socket_is_for_its_owner_only_and_goes_with_the_server() {
    use std::os::unix::fs::PermissionsExt;
    let served = Served::start(Scripted::default()).await;
    let socket = served.socket();
    let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    served.client().plugins().await.unwrap();
    served.end().await;
    assert!(!socket.exists());
}
