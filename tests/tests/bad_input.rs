//! Bad input and failing peers give one stable code through the command line,
//! gRPC and MCP alike, and nothing is written to the estate.

use axum::http::{Method, StatusCode};
use naosu_lab::{
    Lab, LabOptions, builtin_scenario,
    lifecycle::DataPlaneChoice,
    wire::{CannedResponse, Fault, FaultAction},
};
use naosu_tests::{
    mending::text,
    product::{Mcp, Naosu, Server},
};
use serde_json::json;

/// All faces of the product at one lab, each with a store of its own.
struct Faces {
    lab: Lab,
    naosu: Naosu,
    server: Server,
    mcp: Mcp,
}

impl Faces {
    async fn start(environment: &[(&str, &str)]) -> Self {
        let options = LabOptions {
            // Nothing here depends on packets.
            data_plane: DataPlaneChoice::Simulated,
            ..LabOptions::default()
        };
        let scenario = builtin_scenario("nsg-deny-10250").unwrap();
        let lab = Lab::start(scenario, options).await.unwrap();
        let mut naosu = Naosu::at(&lab)
            .unwrap()
            .with_environment("NAOSU_AZURE__RETRY__ATTEMPTS", "1")
            .with_environment("NAOSU_AZURE__REQUEST_TIMEOUT_MS", "1500");
        for (name, value) in environment {
            naosu = naosu.with_environment(name, value);
        }
        let server = Server::start(&naosu).await.unwrap();
        let mcp = Mcp::start(&naosu).await.unwrap();
        lab.arm().requests().clear();
        Self {
            lab,
            naosu,
            server,
            mcp,
        }
    }

    /// The codes that the command line, gRPC and MCP give to one question.
    async fn codes(
        &mut self,
        arguments: &[&str],
        tool: &str,
        tool_arguments: serde_json::Value,
    ) -> [String; 3] {
        let (embedded, _) = self.naosu.failure(arguments).await.unwrap();
        let mut at_server = arguments.to_vec();
        let address = self.server.address.clone();
        at_server.extend(["--server", &address]);
        let (served, _) = self.naosu.failure(&at_server).await.unwrap();
        let answer = self.mcp.call(tool, tool_arguments).await.unwrap();
        [embedded, served, text(&answer["code"])]
    }

    fn assert_nothing_written(&self) {
        let mut writes = self.lab.arm().requests().writes();
        // How a node is read.
        writes.retain(|request| !request.path.to_ascii_lowercase().ends_with("/runcommand"));
        assert!(writes.is_empty(), "written: {writes:?}");
    }
}

fn all(code: &str) -> [String; 3] {
    [code.to_owned(), code.to_owned(), code.to_owned()]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_there_or_malformed_has_one_code_in_every_face() {
    let mut faces = Faces::start(&[]).await;
    let malformed = "/subscriptions/x/aks";
    let codes = faces
        .codes(
            &["diagnose", malformed],
            "diagnose",
            json!({ "cluster": malformed }),
        )
        .await;
    // MCP checks arguments by their schema before the façade sees them.
    assert_eq!(codes[..2], all("invalid_resource_id")[..2]);
    assert!(["invalid_resource_id", "invalid_parameter"].contains(&codes[2].as_str()));

    let unknown = faces
        .lab
        .cluster_id()
        .replace("managedClusters/", "managedClusters/no-");
    let codes = faces
        .codes(
            &["diagnose", &unknown],
            "diagnose",
            json!({ "cluster": unknown }),
        )
        .await;
    assert_eq!(codes, all("cluster_not_found"));

    let none = "plan-00000000-0000-7000-8000-000000000000";
    let codes = faces
        .codes(&["plan", "show", none], "get_plan", json!({ "plan": none }))
        .await;
    assert_eq!(codes, all("plan_not_found"));
    let codes = faces
        .codes(&["apply", none], "apply_plan", json!({ "plan": none }))
        .await;
    assert_eq!(codes, all("plan_not_found"));
    let codes = faces
        .codes(
            &["run", "rollback", "run-0"],
            "rollback_run",
            json!({ "run": "run-0" }),
        )
        .await;
    assert_eq!(codes, all("run_not_found"));
    let codes = faces
        .codes(
            &["diagnosis", "show", "dia-0"],
            "get_diagnosis",
            json!({ "diagnosis": "dia-0" }),
        )
        .await;
    assert_eq!(codes, all("diagnosis_not_found"));
    faces.assert_nothing_written();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn azure_failing_in_each_way_has_one_code_in_every_face() {
    let mut faces = Faces::start(&[]).await;
    let cluster = faces.lab.cluster_id();
    let answer = |status: StatusCode, code: &str| {
        FaultAction::Respond(CannedResponse::arm_error(status, code, "for a test"))
    };
    let cases = [
        (
            answer(StatusCode::UNAUTHORIZED, "InvalidAuthenticationToken"),
            "azure_unauthenticated",
        ),
        (
            answer(StatusCode::FORBIDDEN, "AuthorizationFailed"),
            "azure_forbidden",
        ),
        (
            answer(StatusCode::NOT_FOUND, "ResourceNotFound"),
            "cluster_not_found",
        ),
        (answer(StatusCode::CONFLICT, "Conflict"), "azure_conflict"),
        (
            answer(StatusCode::PRECONDITION_FAILED, "PreconditionFailed"),
            "azure_precondition_failed",
        ),
        (
            FaultAction::Respond(CannedResponse::throttled(1)),
            "azure_throttled",
        ),
        (
            answer(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError"),
            "azure_server_error",
        ),
        (
            FaultAction::Respond(CannedResponse::garbage()),
            "azure_bad_response",
        ),
        (FaultAction::Close, "azure_unreachable"),
        (FaultAction::Hang, "azure_unreachable"),
    ];
    for (action, code) in cases {
        let faults = faces.lab.arm().faults();
        faults.clear();
        faults.inject(Fault::times(1000, format!("{cluster}*"), action.clone()));
        let codes = faces
            .codes(
                &["diagnose", &cluster],
                "diagnose",
                json!({ "cluster": cluster }),
            )
            .await;
        assert_eq!(codes, all(code), "{action:?}");
    }
    faces.lab.arm().faults().clear();
    faces.assert_nothing_written();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_is_applied_only_as_approved_in_time_and_once() {
    let faces = Faces::start(&[]).await;
    let (naosu, cluster) = (&faces.naosu, faces.lab.cluster_id());
    let address = faces.server.address.clone();
    for face in [None, Some(address.as_str())] {
        let with_face = |arguments: &[&str]| {
            let mut all: Vec<String> = arguments.iter().map(|word| (*word).to_owned()).collect();
            all.extend(
                face.into_iter()
                    .flat_map(|f| ["--server".to_owned(), f.to_owned()]),
            );
            all
        };
        let call = async |arguments: &[&str]| {
            let all = with_face(arguments);
            let all: Vec<&str> = all.iter().map(String::as_str).collect();
            naosu.json(&all).await.unwrap()
        };
        let fail = async |arguments: &[&str]| {
            let all = with_face(arguments);
            let all: Vec<&str> = all.iter().map(String::as_str).collect();
            naosu.failure(&all).await.unwrap().0
        };
        let diagnosis = call(&["diagnose", &cluster, "--plugin", "nsg-allow-port"]).await;
        let plan = call(&["plan", "create", &text(&diagnosis["id"])]).await;
        let (id, digest) = (text(&plan["id"]), text(&plan["digest"]));
        assert_eq!(fail(&["apply", &id]).await, "plan_not_approved", "{face:?}");
        let stale = format!("sha256:{}", "0".repeat(64));
        assert_eq!(
            fail(&["plan", "approve", &id, "--digest", &stale]).await,
            "stale_digest"
        );
        faces.assert_nothing_written();
        call(&["plan", "reject", &id, "--digest", &digest]).await;
        assert_eq!(
            fail(&["plan", "approve", &id, "--digest", &digest]).await,
            "plan_rejected"
        );
        assert_eq!(fail(&["apply", &id]).await, "plan_rejected", "{face:?}");
        faces.assert_nothing_written();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_approval_after_expiry_is_refused_in_every_face_that_approves() {
    let faces = Faces::start(&[("NAOSU_POLICY__PLAN_VALID_FOR_SECS", "1")]).await;
    let (naosu, cluster) = (&faces.naosu, faces.lab.cluster_id());
    let address = faces.server.address.clone();
    for server in [None, Some(address.as_str())] {
        let face: Vec<&str> = server
            .into_iter()
            .flat_map(|address| ["--server", address])
            .collect();
        let diagnose = [
            &["diagnose", &cluster, "--plugin", "nsg-allow-port"],
            &face[..],
        ]
        .concat();
        let diagnosis = text(&naosu.json(&diagnose).await.unwrap()["id"]);
        let create = [&["plan", "create", &diagnosis], &face[..]].concat();
        let plan = naosu.json(&create).await.unwrap();
        let (id, digest) = (text(&plan["id"]), text(&plan["digest"]));
        let show = [&["plan", "show", &id], &face[..]].concat();
        for _ in 0..100 {
            if naosu.json(&show).await.unwrap()["state"] == "EXPIRED" {
                break;
            }
        }
        let approve = [&["plan", "approve", &id, "--digest", &digest], &face[..]].concat();
        assert_eq!(
            naosu.failure(&approve).await.unwrap().0,
            "plan_expired",
            "{server:?}"
        );
        let apply = [&["apply", &id], &face[..]].concat();
        assert_eq!(
            naosu.failure(&apply).await.unwrap().0,
            "plan_expired",
            "{server:?}"
        );
    }
    faces.assert_nothing_written();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mcp_offers_no_way_to_approve() {
    let mut faces = Faces::start(&[]).await;
    let tools = faces.mcp.tools().await.unwrap();
    assert!(tools.iter().any(|tool| tool == "apply_plan"));
    assert!(
        !tools
            .iter()
            .any(|tool| tool.contains("approve") || tool.contains("reject"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_plugin_file_stops_every_face_at_start_with_its_code() {
    let faces = Faces::start(&[]).await;
    let folder = faces.naosu.state().join("plugins");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("broken.wasm"), b"\0asm garbage").unwrap();
    let naosu = faces
        .naosu
        .clone()
        .with_environment("NAOSU_PLUGINS__FOLDER", &folder.display().to_string());
    let (code, _) = naosu.failure(&["plugin", "list"]).await.unwrap();
    assert_eq!(code, "plugin_not_a_component");
    let serve = ["serve", "--set", "listen.tcp=127.0.0.1:0"];
    assert_eq!(
        naosu.failure(&serve).await.unwrap().0,
        "plugin_not_a_component"
    );
    assert_eq!(
        naosu.failure(&["mcp"]).await.unwrap().0,
        "plugin_not_a_component"
    );
    faces.assert_nothing_written();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kubeconfig_that_does_not_parse_is_told_by_its_code_and_judges_nothing() {
    let faces = Faces::start(&[]).await;
    let file = faces.naosu.state().join("broken-kubeconfig");
    std::fs::write(&file, "clusters: [").unwrap();
    let naosu = faces.naosu.clone().with_environment(
        "NAOSU_KUBERNETES__SOURCE__PATH",
        &file.display().to_string(),
    );
    let diagnosis = naosu
        .json(&["diagnose", &faces.lab.cluster_id()])
        .await
        .unwrap();
    let told = diagnosis.to_string();
    assert!(told.contains("kubeconfig_invalid"), "{diagnosis:#}");
    let judged = naosu_tests::mending::judgements(&diagnosis);
    assert!(
        !judged.values().any(|judgement| judgement == "confirmed"),
        "{judged:?}"
    );
    faces.assert_nothing_written();
}

/// What the lab's faults are matched by, to be sure that they can be hit at all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_faults_the_same_lab_is_diagnosed() {
    let faces = Faces::start(&[]).await;
    let cluster = faces.lab.cluster_id();
    let diagnosis = faces.naosu.json(&["diagnose", &cluster]).await.unwrap();
    assert!(!diagnosis["findings"].as_array().unwrap().is_empty());
    assert!(
        faces
            .lab
            .arm()
            .requests()
            .all()
            .iter()
            .any(|request| request.method == Method::GET)
    );
    faces.assert_nothing_written();
}
