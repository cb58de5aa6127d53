//! Bad input and failing peers give one stable code through the command line,
//! gRPC and MCP alike, and nothing is written to the estate.

mod faces;

use std::collections::BTreeSet;

use axum::http::{Method, StatusCode};
use faces::{Face, Faces, all};
use naosu_lab::{
    lifecycle::DataPlaneChoice,
    wire::{CannedResponse, Fault, FaultAction},
};
use naosu_tests::mending::text;
use serde_json::{Value, json};

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
    assert_eq!(codes, all("invalid_resource_id"));

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
    faces.assert_nothing_written().await;
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
        (
            FaultAction::Respond(CannedResponse::empty()),
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
    faces.assert_nothing_written().await;
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
    let naosu = faces
        .naosu
        .clone()
        .with_environment("NAOSU_PLUGINS__FOLDER", &folder.display().to_string());
    let files: [(&[u8], &str); 4] = [
        (b"", "plugin_not_a_component"),
        (b"\0asm garbage", "plugin_not_a_component"),
        // A core module, whole and empty.
        (b"\0asm\x01\0\0\0", "plugin_not_a_component"),
        // A component, whole and empty.
        (b"\0asm\x0d\0\x01\0", "plugin_wrong_world"),
    ];
    for (bytes, expected) in files {
        std::fs::write(folder.join("broken.wasm"), bytes).unwrap();
        let serve = ["serve", "--set", "listen.tcp=127.0.0.1:0"];
        for face in [&["plugin", "list"][..], &serve, &["mcp"]] {
            let (code, finished) = naosu.failure(face).await.unwrap();
            assert_eq!(code, expected, "{bytes:?} {finished}");
            assert!(finished.stderr.contains("broken.wasm"), "{finished}");
        }
    }
    faces.assert_nothing_written().await;
}

impl Faces {
    /// The codes of what a diagnosis could not read, in every face, and that
    /// nothing was judged from them.
    async fn codes_of_unreadable(&mut self) -> [BTreeSet<String>; 3] {
        let cluster = self.lab.cluster_id();
        let of_reads = |diagnosis: &Value| -> BTreeSet<String> {
            let reads = diagnosis["observations"].as_array().unwrap().iter();
            reads
                .filter(|read| read["answer"]["Err"]["kind"] != "not_found")
                .filter_map(|read| read["answer"]["Err"]["code"].as_str())
                .map(str::to_owned)
                .collect()
        };
        let node_firewalls = ["ufw-allow-port", "ufw-disable", "iptables-delete-rule"];
        let of_plugins = node_firewalls.iter().flat_map(|id| ["--plugin", *id]);
        let diagnose: Vec<&str> = ["diagnose", &cluster]
            .into_iter()
            .chain(of_plugins)
            .collect();
        // What could be read is told, and that nothing could be judged from it.
        let shown = self.naosu.run(&diagnose).await.unwrap();
        assert_eq!(shown.exit_code, 7, "{shown}");
        assert!(shown.stdout.contains("(node_output_"), "{shown}");
        let embedded = self.answer(Face::Embedded, &diagnose).await;
        let served = self.answer(Face::Served, &diagnose).await;
        let mcp = json!({ "cluster": cluster, "plugins": node_firewalls });
        let mcp = self.mcp.call("diagnose", mcp).await.unwrap();
        for diagnosis in [&embedded, &served, &mcp] {
            let judged = naosu_tests::mending::judgements(diagnosis);
            let sure = |judgement: &String| judgement == "confirmed" || judgement == "ruled_out";
            for plugin in node_firewalls {
                assert!(!sure(&judged[plugin]), "{judged:?}");
            }
        }
        let told = |diagnosis: &Value| -> BTreeSet<String> {
            let told = diagnosis["not_readable"].as_array().unwrap().iter();
            told.map(|unreadable| text(&unreadable["code"])).collect()
        };
        for diagnosis in [&embedded, &served] {
            assert_eq!(told(diagnosis), of_reads(diagnosis));
        }
        [told(&embedded), told(&served), told(&mcp)]
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kubeconfig_that_does_not_parse_has_one_code_in_every_face() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kubeconfig");
    std::fs::write(&file, "clusters: [").unwrap();
    let path = file.display().to_string();
    let mut faces = Faces::start(&[("NAOSU_KUBERNETES__SOURCE__PATH", &path)]).await;
    let cluster = faces.lab.cluster_id();
    let codes = faces
        .codes(
            &["diagnose", &cluster],
            "diagnose",
            json!({ "cluster": cluster }),
        )
        .await;
    assert_eq!(codes, all("kubeconfig_invalid"));
    // A person is told without asking for JSON.
    let shown = faces.naosu.run(&["diagnose", &cluster]).await.unwrap();
    assert_eq!(shown.exit_code, 2, "{shown}");
    assert!(shown.stderr.contains("kubeconfig_invalid"), "{shown}");
    assert!(shown.stderr.contains("correct the kubeconfig"), "{shown}");
    faces.assert_nothing_written().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_answer_of_a_node_has_one_code_in_every_face_and_judges_nothing() {
    let mut faces = Faces::start_on(DataPlaneChoice::Auto, &[]).await;
    if let Some(reason) = faces.lab.simulated_because() {
        println!("skipped: no real nodes, {reason}");
        return;
    }
    // The end marker comes, and the begin is lost.
    faces.lab.arm().cut_run_commands(200);
    for codes in faces.codes_of_unreadable().await {
        assert!(codes.contains("node_output_truncated"), "{codes:?}");
    }
    // Not even the end marker, then nothing at all.
    for bytes in [20, 0] {
        faces.lab.arm().cut_run_commands(bytes);
        for codes in faces.codes_of_unreadable().await {
            assert!(codes.contains("node_output_malformed"), "{codes:?}");
        }
    }
    faces.assert_nothing_written().await;
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
    faces.assert_nothing_written().await;
}
