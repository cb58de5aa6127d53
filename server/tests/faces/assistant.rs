//! An assistant stays one when the product is a server elsewhere.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::Stdio,
};

use naosu_engine::{
    Code, Naosu as _,
    model::{Digest, PlanId, Principal},
};
use naosu_proto::v1::{ApprovePlanRequest, plan_service_client::PlanServiceClient};
use naosu_server::{auth::this_user_name, grpc::client::Client};
use serde_json::{Value, json};
use tonic::{Request, Status, transport::Channel};
use tonic_types::StatusExt as _;

use crate::{
    product::Scripted,
    served::{Served, address, naosu_command},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_assistant_does_through_a_server_is_recorded_as_the_assistants() {
    let product = Scripted::default();
    let asked = product.asked();
    let served = Served::start(product).await;
    let url = served.unix_url();
    let answer = tokio::task::spawn_blocking(move || apply_over_mcp(&url));
    let answer = answer.await.unwrap();
    assert_eq!(answer["result"]["isError"], false, "{answer}");
    let expected = Principal::assistant(format!("mcp:{}", this_user_name()));
    let asked = asked.lock().unwrap().clone();
    assert_eq!(asked, [("apply".to_owned(), expected)]);
    served.end().await;
}

/// Runs `naosu mcp` against a server, and has it apply a plan.
fn apply_over_mcp(url: &str) -> Value {
    let mut child = naosu_command(Path::new("/"), &["--server", url, "mcp"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let initialize = json!({
        "protocolVersion": "2025-06-18", "capabilities": {},
        "clientInfo": { "name": "test", "version": "1" },
    });
    let apply = json!({ "name": "apply_plan", "arguments": { "plan": "plan-1" } });
    for message in [
        json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": initialize }),
        json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }),
        json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": apply }),
    ] {
        writeln!(input, "{message}").unwrap();
    }
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let answer = lines
        .map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap())
        .find(|message| message["id"] == 2)
        .unwrap();
    drop(input);
    child.wait().unwrap();
    answer
}

#[tokio::test]
async fn an_assistant_of_an_approver_is_refused_to_decide() {
    let product = Scripted::default();
    let asked = product.asked();
    let served = Served::start(product).await;
    let (id, digest) = (PlanId("plan-1".into()), Digest::of_bytes(b""));
    let nobody = Principal::person("whatever the client says");
    let tcp = format!("http://{}", served.tcp);
    for address in [
        address(&served.unix_url(), None),
        address(&tcp, Some("alice-secret")),
    ] {
        let assistant = Client::of_assistant(&address).unwrap();
        let decisions = [
            assistant.approve(&nobody, &id, &digest, "").await,
            assistant.reject(&nobody, &id, &digest, "").await,
        ];
        for decision in decisions {
            assert_eq!(decision.unwrap_err().code, Code::ApprovalForbidden);
        }
        assert!(asked.lock().unwrap().is_empty(), "the product was asked");
        // The person whose assistant it is may.
        let person = Client::new(&address).unwrap();
        person.approve(&nobody, &id, &digest, "").await.unwrap();
        asked.lock().unwrap().clear();
    }
    served.end().await;
}

/// Approves over a channel of no client of ours, with these roles asked for.
async fn approve_as(served: &Served, token: &str, roles: &[&'static str]) -> Result<(), Status> {
    let endpoint = Channel::from_shared(format!("http://{}", served.tcp)).unwrap();
    let channel = endpoint.connect().await.unwrap();
    let mut request = Request::new(ApprovePlanRequest {
        id: "plan-1".into(),
        digest: Digest::of_bytes(b"").to_string(),
        comment: String::new(),
    });
    let metadata = request.metadata_mut();
    let authorization = format!("Bearer {token}").parse().unwrap();
    metadata.insert("authorization", authorization);
    for role in roles {
        metadata.append("naosu-role", role.parse().unwrap());
    }
    let answer = PlanServiceClient::new(channel).approve_plan(request).await;
    answer.map(|_| ())
}

#[tokio::test]
async fn a_role_asked_for_lowers_what_a_caller_may_and_never_raises_it() {
    let served = Served::start(Scripted::default()).await;
    for (token, roles, refused) in [
        ("alice-secret", &[][..], None),
        ("alice-secret", &["approver"], None),
        ("alice-secret", &["requester"], Some("approval_forbidden")),
        ("alice-secret", &["assistant"], Some("approval_forbidden")),
        (
            "alice-secret",
            &["assistant", "approver"],
            Some("approval_forbidden"),
        ),
        (
            "alice-secret",
            &["approver", "assistant"],
            Some("approval_forbidden"),
        ),
        ("alice-secret", &["king"], Some("invalid_parameter")),
        ("bob-secret", &["approver"], Some("approval_forbidden")),
        ("bot-secret", &["approver"], Some("approval_forbidden")),
    ] {
        let answer = approve_as(&served, token, roles).await;
        let reason = answer
            .err()
            .map(|status| status.get_details_error_info().unwrap().reason);
        assert_eq!(reason.as_deref(), refused, "{token} {roles:?}");
    }
    served.end().await;
}
