//! Bad input and failing peers give one stable code through the command line,
//! gRPC and MCP alike, and nothing is written to the estate.

use std::collections::BTreeSet;

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
use serde_json::{Value, json};

/// All faces of the product at one lab, each with a store of its own.
struct Faces {
    lab: Lab,
    naosu: Naosu,
    server: Server,
    mcp: Mcp,
}

impl Faces {
    async fn start(environment: &[(&str, &str)]) -> Self {
        // Most of this does not depend on packets.
        Self::start_on(DataPlaneChoice::Simulated, environment).await
    }

    async fn start_on(data_plane: DataPlaneChoice, environment: &[(&str, &str)]) -> Self {
        let options = LabOptions {
            data_plane,
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

/// The face that a plan goes through; whoever approves uses the command line.
#[derive(Clone, Copy, Debug)]
enum Face {
    Embedded,
    Served,
    Mcp,
}

const FACES: [Face; 3] = [Face::Embedded, Face::Served, Face::Mcp];

impl Faces {
    /// Further words of a command line that reach the store of a face.
    fn words(&self, face: Face) -> Vec<String> {
        let mcp_store = self.naosu.state().join("mcp.db");
        match face {
            Face::Embedded => vec![],
            Face::Served => vec!["--server".to_owned(), self.server.address.clone()],
            Face::Mcp => vec![
                "--set".to_owned(),
                format!("store.path={}", mcp_store.display()),
            ],
        }
    }

    async fn call(&self, face: Face, arguments: &[&str]) -> Value {
        let words = self.words(face);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        self.naosu
            .json(&[arguments, &words].concat())
            .await
            .unwrap()
    }

    async fn fail(&self, face: Face, arguments: &[&str]) -> String {
        let words = self.words(face);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let failed = self.naosu.failure(&[arguments, &words].concat()).await;
        failed.unwrap().0
    }

    /// A new plan: its id and digest.
    async fn plan(&mut self, face: Face) -> (String, String) {
        let cluster = self.lab.cluster_id();
        let plan = if let Face::Mcp = face {
            let plugins = json!({ "cluster": cluster, "plugins": ["nsg-allow-port"] });
            let diagnosis = self.mcp.call("diagnose", plugins).await.unwrap();
            let of = json!({ "diagnosis": diagnosis["id"] });
            self.mcp.call("create_plan", of).await.unwrap()["plan"].take()
        } else {
            let diagnose = ["diagnose", &cluster, "--plugin", "nsg-allow-port"];
            let diagnosis = text(&self.call(face, &diagnose).await["id"]);
            self.call(face, &["plan", "create", &diagnosis]).await
        };
        (text(&plan["id"]), text(&plan["digest"]))
    }

    /// Applies a plan to its end: the run, or the code of the refusal.
    async fn apply(&mut self, face: Face, plan: &str) -> Result<Value, String> {
        if let Face::Mcp = face {
            let begun = self.mcp.call("apply_plan", json!({ "plan": plan })).await;
            let begun = begun.unwrap();
            if begun["run"].is_null() {
                return Err(text(&begun["code"]));
            }
            let wait = json!({ "run": begun["run"]["id"], "wait_seconds": 60 });
            return Ok(self.mcp.call("get_run", wait).await.unwrap()["run"].take());
        }
        let words = [
            &["apply".to_owned(), plan.to_owned()],
            &self.words(face)[..],
        ]
        .concat();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let (code, finished) = self.naosu.failure(&words).await.unwrap();
        if code.is_empty() {
            Ok(finished.json().unwrap())
        } else {
            Err(code)
        }
    }

    async fn state_of_plan(&mut self, face: Face, plan: &str) -> String {
        if let Face::Mcp = face {
            let answer = self.mcp.call("get_plan", json!({ "plan": plan })).await;
            return text(&answer.unwrap()["plan"]["state"]);
        }
        text(&self.call(face, &["plan", "show", plan]).await["state"])
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_is_applied_only_as_approved_and_once_in_every_face() {
    let mut faces = Faces::start(&[]).await;
    for face in FACES {
        faces.lab.arm().requests().clear();
        let (id, digest) = faces.plan(face).await;
        let refused = faces.apply(face, &id).await;
        assert_eq!(refused.unwrap_err(), "plan_not_approved", "{face:?}");
        let stale = format!("sha256:{}", "0".repeat(64));
        for verb in ["approve", "reject"] {
            let decide = ["plan", verb, &id, "--digest", &stale];
            assert_eq!(faces.fail(face, &decide).await, "stale_digest", "{face:?}");
        }
        let approve = ["plan", "approve", &id, "--digest", &digest];
        faces
            .call(face, &["plan", "reject", &id, "--digest", &digest])
            .await;
        assert_eq!(
            faces.fail(face, &approve).await,
            "plan_rejected",
            "{face:?}"
        );
        let refused = faces.apply(face, &id).await;
        assert_eq!(refused.unwrap_err(), "plan_rejected", "{face:?}");
        faces.assert_nothing_written();

        let (id, digest) = faces.plan(face).await;
        let approve = ["plan", "approve", &id, "--digest", &digest];
        faces.call(face, &approve).await;
        let again = faces.fail(face, &approve).await;
        assert_eq!(again, "plan_already_decided", "{face:?}");
        let run = faces.apply(face, &id).await.unwrap();
        assert_eq!(run["state"], "SUCCEEDED", "{face:?} {run:#}");
        faces.lab.arm().requests().clear();
        let refused = faces.apply(face, &id).await;
        assert_eq!(refused.unwrap_err(), "plan_already_applied", "{face:?}");
        faces.assert_nothing_written();
        // The next face finds the fault again.
        let run = text(&run["id"]);
        if let Face::Mcp = face {
            let back = faces.mcp.call("rollback_run", json!({ "run": run })).await;
            assert_eq!(back.unwrap()["run"]["state"], "ROLLING_BACK");
        } else {
            let back = faces.call(face, &["run", "rollback", &run]).await;
            assert_eq!(back["state"], "ROLLED_BACK", "{face:?}");
            let again = faces.fail(face, &["run", "rollback", &run]).await;
            assert_eq!(again, "run_not_reversible", "{face:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_azure_fails_in_each_way_ends_the_run_with_its_code_and_changes_nothing() {
    let mut faces = Faces::start(&[("NAOSU_RUNS__RETRY_PAUSE_MS", "1")]).await;
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
            "azure_not_found",
        ),
        (
            answer(StatusCode::CONFLICT, "AnotherOperationInProgress"),
            "azure_conflict",
        ),
        (
            answer(StatusCode::PRECONDITION_FAILED, "PreconditionFailed"),
            "azure_precondition_failed",
        ),
        (
            FaultAction::Respond(CannedResponse::throttled(1)),
            "azure_throttled",
        ),
        // Whether these wrote is not known from the answer: it is read back.
        (
            answer(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError"),
            "outcome_unknown",
        ),
        (
            FaultAction::Respond(CannedResponse::garbage()),
            "outcome_unknown",
        ),
        (FaultAction::Close, "outcome_unknown"),
    ];
    for ((action, code), face) in cases.into_iter().zip(FACES.into_iter().cycle()) {
        let groups = |faces: &Faces| {
            let snapshot = faces.lab.arm().snapshot();
            let groups = snapshot.of_type("Microsoft.Network/networkSecurityGroups");
            groups
                .map(|g| g["properties"].to_string())
                .collect::<Vec<_>>()
        };
        let before = groups(&faces);
        let (id, digest) = faces.plan(face).await;
        faces
            .call(face, &["plan", "approve", &id, "--digest", &digest])
            .await;
        let path = "*/networkSecurityGroups/*";
        let mut fault = Fault::times(1000, path, action.clone());
        fault.method = Some(Method::PUT);
        faces.lab.arm().faults().inject(fault);
        let run = faces.apply(face, &id).await.unwrap();
        faces.lab.arm().faults().clear();
        let context = format!("{face:?} {action:?} {run:#}");
        assert_eq!(run["state"], "CANCELLED", "{context}");
        let refused = run["entries"].as_array().unwrap().iter();
        let mut refused = refused.filter(|entry| entry["event"]["kind"] == "refused");
        assert_eq!(
            refused.next_back().unwrap()["event"]["error"]["code"],
            code,
            "{context}"
        );
        assert_eq!(groups(&faces), before, "{context}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_that_expired_is_neither_approved_nor_applied_in_any_face() {
    let mut faces = Faces::start(&[("NAOSU_POLICY__PLAN_VALID_FOR_SECS", "1")]).await;
    for face in FACES {
        let (id, digest) = faces.plan(face).await;
        for _ in 0..1000 {
            if faces.state_of_plan(face, &id).await == "EXPIRED" {
                break;
            }
        }
        let approve = ["plan", "approve", &id, "--digest", &digest];
        assert_eq!(faces.fail(face, &approve).await, "plan_expired", "{face:?}");
        let refused = faces.apply(face, &id).await;
        assert_eq!(refused.unwrap_err(), "plan_expired", "{face:?}");
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
    faces.assert_nothing_written();
}

impl Faces {
    /// The codes of what a diagnosis could not read, in every face, and that
    /// nothing was judged from them.
    async fn codes_of_unreadable(&mut self) -> [BTreeSet<String>; 3] {
        let cluster = self.lab.cluster_id();
        let of_reads = |diagnosis: &Value| {
            let reads = diagnosis["observations"].as_array().unwrap().iter();
            reads
                .filter(|read| read["answer"]["Err"]["kind"] != "not_found")
                .filter_map(|read| read["answer"]["Err"]["code"].as_str())
                .map(str::to_owned)
                .collect()
        };
        let embedded = self.call(Face::Embedded, &["diagnose", &cluster]).await;
        let served = self.call(Face::Served, &["diagnose", &cluster]).await;
        let mcp = json!({ "cluster": cluster });
        let mcp = self.mcp.call("diagnose", mcp).await.unwrap();
        for diagnosis in [&embedded, &served, &mcp] {
            let judged = naosu_tests::mending::judgements(diagnosis);
            let sure = |judgement: &String| judgement == "confirmed" || judgement == "ruled_out";
            assert!(!judged.is_empty());
            let node_firewalls = ["ufw-allow-port", "ufw-disable", "iptables-delete-rule"];
            for plugin in node_firewalls {
                assert!(!judged.get(plugin).is_some_and(sure), "{judged:?}");
            }
        }
        let of_mcp = mcp["not_readable"].as_array().unwrap().iter();
        let of_mcp = of_mcp.map(|unreadable| text(&unreadable["code"])).collect();
        [of_reads(&embedded), of_reads(&served), of_mcp]
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kubeconfig_that_does_not_parse_has_one_code_in_every_face_and_judges_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kubeconfig");
    std::fs::write(&file, "clusters: [").unwrap();
    let path = file.display().to_string();
    let mut faces = Faces::start(&[("NAOSU_KUBERNETES__SOURCE__PATH", &path)]).await;
    for codes in faces.codes_of_unreadable().await {
        assert!(codes.contains("kubeconfig_invalid"), "{codes:?}");
    }
    // A person is told without asking for JSON.
    let cluster = faces.lab.cluster_id();
    let shown = faces.naosu.run(&["diagnose", &cluster]).await.unwrap();
    assert!(shown.stdout.contains("(kubeconfig_invalid)"), "{shown}");
    assert!(shown.stdout.contains("kubeconfig"), "{shown}");
    faces.assert_nothing_written();
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
