//! What may be done with a plan, and when, is the same through the command line,
//! gRPC and MCP; and a write that fails ends the run with its code.

mod faces;

use axum::http::{Method, StatusCode};
use faces::{FACES, Face, Faces};
use naosu_engine::model::Digest;
use naosu_lab::wire::{CannedResponse, Fault, FaultAction};
use naosu_tests::mending::text;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_is_applied_only_as_approved_and_once_in_every_face() {
    let mut faces = Faces::start(&[]).await;
    for face in FACES {
        faces.forget_requests();
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
        faces.assert_nothing_written().await;

        let (id, digest) = faces.plan(face).await;
        let approve = ["plan", "approve", &id, "--digest", &digest];
        faces.call(face, &approve).await;
        let again = faces.fail(face, &approve).await;
        assert_eq!(again, "plan_already_decided", "{face:?}");
        assert_eq!(faces.show_plan(face, &id).await["run"], Value::Null);
        let run = faces.apply(face, &id).await.unwrap();
        assert_eq!(run["state"], "SUCCEEDED", "{face:?} {run:#}");
        assert_eq!(faces.show_plan(face, &id).await["run"], run["id"]);
        faces.forget_requests();
        let refused = faces.apply(face, &id).await;
        assert_eq!(refused.unwrap_err(), "plan_already_applied", "{face:?}");
        faces.assert_nothing_written().await;
        // The next face finds the fault again.
        let run = text(&run["id"]);
        if let Face::Mcp = face {
            let back = faces.mcp.call("rollback_run", json!({ "run": run })).await;
            assert_eq!(back.unwrap()["run"]["state"], "ROLLING_BACK");
            let wait = json!({ "run": run, "wait_seconds": 60 });
            let end = faces.mcp.call("get_run", wait).await.unwrap();
            assert_eq!(end["run"]["state"], "ROLLED_BACK", "{end:#}");
        } else {
            let back = faces.call(face, &["run", "rollback", &run]).await;
            assert_eq!(back["state"], "ROLLED_BACK", "{face:?}");
            let again = faces.fail(face, &["run", "rollback", &run]).await;
            assert_eq!(again, "run_not_reversible", "{face:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_azure_fails_in_each_way_ends_the_command_s_run_with_its_code() {
    fail_each_write(Face::Embedded).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_azure_fails_in_each_way_ends_the_server_s_run_with_its_code() {
    fail_each_write(Face::Served).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_azure_fails_in_each_way_ends_the_assistant_s_run_with_its_code() {
    fail_each_write(Face::Mcp).await;
}

/// And changes nothing.
async fn fail_each_write(face: Face) {
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
        (FaultAction::Hang, "outcome_unknown"),
    ];
    for (action, code) in cases {
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
async fn where_kubernetes_cannot_be_read_an_approved_plan_writes_nothing_in_any_face() {
    let mut faces = Faces::start(&[("NAOSU_RUNS__RETRY_PAUSE_MS", "1")]).await;
    for face in FACES {
        let (id, digest) = faces.plan(face).await;
        let approve = ["plan", "approve", &id, "--digest", &digest];
        faces.call(face, &approve).await;
        faces.forget_requests();
        let status = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure",
            "reason": "Unauthorized", "message": "Unauthorized", "code": 401 });
        let refusal = CannedResponse::json(StatusCode::UNAUTHORIZED, &status);
        let refusal = Fault::times(1000, "*", FaultAction::Respond(refusal));
        faces.lab.kube().faults().inject(refusal);
        let run = faces.apply(face, &id).await.unwrap();
        faces.lab.kube().faults().clear();
        assert_eq!(run["state"], "CANCELLED", "{face:?} {run:#}");
        assert_eq!(refusals(&run), ["kubernetes_unauthenticated"], "{face:?}");
        faces.assert_nothing_written().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kubeconfig_spoilt_after_the_approval_cancels_the_run_before_it_writes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kubeconfig");
    // It is looked for at the start, and read when it is needed.
    std::fs::write(&file, "").unwrap();
    let path = file.display().to_string();
    let mut faces = Faces::start(&[("NAOSU_KUBERNETES__SOURCE__PATH", &path)]).await;
    std::fs::copy(faces.lab.kubeconfig_file(), &file).unwrap();
    let face = Face::Embedded;
    let (id, digest) = faces.plan(face).await;
    let approve = ["plan", "approve", &id, "--digest", &digest];
    faces.call(face, &approve).await;
    faces.forget_requests();
    std::fs::write(&file, "clusters: [").unwrap();
    let run = faces.apply(face, &id).await.unwrap();
    assert_eq!(run["state"], "CANCELLED", "{run:#}");
    assert_eq!(refusals(&run), ["kubeconfig_invalid"]);
    faces.assert_nothing_written().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_two_must_approve_a_person_counts_once_and_nothing_runs_before_the_second() {
    let folder = tempfile::tempdir().unwrap();
    let mut tokens = toml::Table::new();
    let token_file = |name: &str| folder.path().join(name).display().to_string();
    for name in ["alice", "bob"] {
        std::fs::write(token_file(name), name).unwrap();
        let digest = Digest::of_bytes(name.as_bytes()).to_string();
        let holder = [
            ("sha256", digest.trim_start_matches("sha256:")),
            ("role", "approver"),
        ];
        let holder = holder.map(|(key, value)| (key.to_owned(), value.into()));
        tokens.insert(name.to_owned(), toml::Table::from_iter(holder).into());
    }
    std::fs::write(token_file("tokens.toml"), tokens.to_string()).unwrap();
    let faces = Faces::start(&[
        ("NAOSU_POLICY__APPROVALS", "2"),
        ("NAOSU_POLICY__STRONG_APPROVALS", "2"),
        ("NAOSU_AUTH__TOKENS_FILE", &token_file("tokens.toml")),
    ])
    .await;
    let person = |name: &str| {
        let naosu = faces.naosu.clone();
        naosu.with_environment("NAOSU_CLIENT__TOKEN_FILE", &token_file(name))
    };
    let (alice, bob) = (person("alice"), person("bob"));
    let server = faces.server.address.as_str();
    let served = |words: &[&'static str], id: &str| -> Vec<String> {
        let words = words.iter().copied().chain([id, "--server", server]);
        words.map(str::to_owned).collect()
    };
    let cluster = faces.lab.cluster_id();
    let one = ["diagnose", "--plugin", "nsg-allow-port"];
    let diagnosis = alice
        .json(&str_refs(&served(&one, &cluster)))
        .await
        .unwrap();
    let create = served(&["plan", "create"], &text(&diagnosis["id"]));
    let plan = alice.json(&str_refs(&create)).await.unwrap();
    let (id, digest) = (text(&plan["id"]), text(&plan["digest"]));
    let mut approve = served(&["plan", "approve"], &id);
    approve.extend(["--digest".to_owned(), digest]);
    let approve = str_refs(&approve);
    let apply = served(&["apply"], &id);
    let apply = str_refs(&apply);
    faces.forget_requests();

    let after_one = alice.json(&approve).await.unwrap();
    assert_eq!(after_one["state"], "PENDING_APPROVAL", "{after_one:#}");
    assert_eq!(
        alice.failure(&approve).await.unwrap().0,
        "plan_already_decided"
    );
    assert_eq!(alice.failure(&apply).await.unwrap().0, "plan_not_approved");
    faces.assert_nothing_written().await;

    let after_two = bob.json(&approve).await.unwrap();
    assert_eq!(after_two["state"], "APPROVED", "{after_two:#}");
    assert_eq!(alice.json(&apply).await.unwrap()["state"], "SUCCEEDED");
}

fn str_refs(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

/// The codes of steps that were refused.
fn refusals(run: &Value) -> Vec<String> {
    let entries = run["entries"].as_array().unwrap().iter();
    let refused = entries.filter(|entry| entry["event"]["kind"] == "refused");
    refused
        .map(|entry| text(&entry["event"]["error"]["code"]))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_that_expired_is_neither_approved_nor_applied_in_any_face() {
    let mut faces = Faces::start(&[("NAOSU_POLICY__PLAN_VALID_FOR_SECS", "1")]).await;
    for face in FACES {
        let (id, digest) = faces.plan(face).await;
        for _ in 0..1000 {
            if text(&faces.show_plan(face, &id).await["state"]) == "EXPIRED" {
                break;
            }
        }
        let approve = ["plan", "approve", &id, "--digest", &digest];
        assert_eq!(faces.fail(face, &approve).await, "plan_expired", "{face:?}");
        let refused = faces.apply(face, &id).await;
        assert_eq!(refused.unwrap_err(), "plan_expired", "{face:?}");
    }
    faces.assert_nothing_written().await;
}
