//! MCP as a client sees it: JSON-RPC lines on a pair of streams, a scripted
//! product behind.

mod client;
#[allow(dead_code)] // the tests of the other faces use all of it
mod product;

use naosu_engine::Code;
use serde_json::{Value, json};

use client::Client;
use product::{Scripted, Trouble};

const ALL_TOOLS: [&str; 11] = [
    "list_plugins",
    "diagnose",
    "get_diagnosis",
    "list_diagnoses",
    "create_plan",
    "get_plan",
    "list_plans",
    "apply_plan",
    "get_run",
    "list_runs",
    "rollback_run",
];

/// Arguments that each tool accepts.
fn good_arguments(tool: &str) -> Value {
    match tool {
        "diagnose" => json!({ "cluster": product::CLUSTER, "symptom": { "text": "i/o timeout" } }),
        "get_diagnosis" => json!({ "diagnosis": "dia-1" }),
        "create_plan" => json!({ "diagnosis": "dia-1" }),
        "get_plan" | "apply_plan" => json!({ "plan": "plan-1" }),
        "get_run" | "rollback_run" => json!({ "run": "run-1" }),
        _ => json!({}),
    }
}

#[tokio::test]
async fn the_tools_are_these_with_title_hints_and_both_schemas_and_none_approves() {
    let mut client = Client::start(Scripted::default()).await;
    let tools = client.request("tools/list", json!({})).await["result"]["tools"].clone();
    let names: Vec<&str> = tools
        .as_array()
        .unwrap()
        .iter()
        .map(|tool| tool["name"].as_str().unwrap())
        .collect();
    let mut expected = ALL_TOOLS;
    let mut found = names.clone();
    expected.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, expected);
    for tool in tools.as_array().unwrap() {
        let name = &tool["name"];
        assert!(tool["title"].is_string(), "{name}");
        for hint in [
            "readOnlyHint",
            "destructiveHint",
            "idempotentHint",
            "openWorldHint",
        ] {
            assert!(tool["annotations"][hint].is_boolean(), "{name} {hint}");
        }
        assert_eq!(tool["inputSchema"]["type"], "object", "{name}");
        assert_eq!(tool["outputSchema"]["type"], "object", "{name}");
    }
    assert!(
        !names
            .iter()
            .any(|name| name.contains("approve") || name.contains("reject"))
    );
    let destructive: Vec<&str> = tools
        .as_array()
        .unwrap()
        .iter()
        .filter(|tool| tool["annotations"]["destructiveHint"] == true)
        .map(|tool| tool["name"].as_str().unwrap())
        .collect();
    assert_eq!(destructive, ["apply_plan", "rollback_run"]);
}

#[tokio::test]
async fn every_answer_fits_the_output_schema_of_its_tool() {
    let mut client = Client::start(Scripted::default()).await;
    let tools = client.request("tools/list", json!({})).await["result"]["tools"].clone();
    for tool in tools.as_array().unwrap() {
        let name = tool["name"].as_str().unwrap();
        let result = client.call(name, good_arguments(name)).await;
        assert_eq!(result["isError"], false, "{name}: {result}");
        let validator = jsonschema::validator_for(&tool["outputSchema"]).unwrap();
        let problems: Vec<String> = validator
            .iter_errors(&result["structuredContent"])
            .map(|error| error.to_string())
            .collect();
        assert!(problems.is_empty(), "{name}: {problems:?}");
        assert_eq!(
            serde_json::from_str::<Value>(result["content"][0]["text"].as_str().unwrap()).unwrap(),
            result["structuredContent"],
            "{name}: the text is for clients that know no structured content"
        );
    }
}

#[tokio::test]
async fn the_product_is_asked_as_an_assistant_and_never_to_approve() {
    let product = Scripted::default();
    let asked = product.asked();
    let mut client = Client::start(product).await;
    for tool in ALL_TOOLS {
        client.call(tool, good_arguments(tool)).await;
    }
    let asked = asked.lock().unwrap().clone();
    assert!(asked.iter().any(|(what, _)| what == "apply"));
    for (what, principal) in asked {
        assert!(what != "approve" && what != "reject");
        assert!(principal.is_assistant, "{what}");
    }
}

#[tokio::test]
async fn a_failure_keeps_its_stable_code_and_its_next_step() {
    for code in [
        Code::ClusterNotFound,
        Code::PlanNotFound,
        Code::PlanNotApproved,
        Code::PlanAlreadyApplied,
        Code::PlanExpired,
        Code::Drift,
        Code::AzureForbidden,
        Code::AzureThrottled,
        Code::NodeOutputTruncated,
        Code::KubeconfigInvalid,
    ] {
        let mut client = Client::start(Scripted::failing(Trouble::Error(code))).await;
        for tool in ALL_TOOLS {
            let result = client.call(tool, good_arguments(tool)).await;
            assert_eq!(result["isError"], true, "{tool}");
            let error = &result["structuredContent"];
            assert_eq!(error["code"], code.as_str(), "{tool}");
            assert_eq!(error["message"], product::MESSAGE, "{tool}");
            assert_eq!(error["next"], product::NEXT, "{tool}");
        }
    }
}

#[tokio::test]
async fn wrong_arguments_name_what_is_wrong_and_reach_nothing() {
    let product = Scripted::default();
    let asked = product.asked();
    let mut client = Client::start(product).await;
    for (tool, arguments, wrong) in [
        ("get_plan", json!({}), "plan"),
        ("get_plan", json!({ "plan": 7 }), "integer"),
        (
            "get_plan",
            json!({ "plan": "plan-1", "force": true }),
            "force",
        ),
        (
            "create_plan",
            json!({ "diagnosis": "dia-1", "parameter": { "port": 1 } }),
            "parameter",
        ),
        (
            "get_run",
            json!({ "run": "run-1", "wait_seconds": -1 }),
            "-1",
        ),
    ] {
        let result = client.call(tool, arguments).await;
        assert_eq!(result["isError"], true, "{tool}: {result}");
        let error = &result["structuredContent"];
        assert_eq!(error["code"], "invalid_parameter", "{tool}");
        assert!(
            error["message"].as_str().unwrap().contains(wrong),
            "{tool}: {error}"
        );
    }
    assert!(asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_malformed_cluster_id_has_the_code_of_every_face_and_reaches_nothing() {
    let product = Scripted::default();
    let asked = product.asked();
    let mut client = Client::start(product).await;
    for tool in ["diagnose", "list_diagnoses", "list_plans", "list_runs"] {
        let result = client.call(tool, json!({ "cluster": "aks" })).await;
        assert_eq!(result["isError"], true, "{tool}: {result}");
        let error = &result["structuredContent"];
        assert_eq!(error["code"], "invalid_resource_id", "{tool}");
        assert!(
            error["message"].as_str().unwrap().contains("aks"),
            "{error}"
        );
    }
    assert!(asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_could_not_be_read_is_told_with_its_code_and_the_next_step() {
    let mut client = Client::start(Scripted::failing(Trouble::NoKubeconfig)).await;
    for tool in ["diagnose", "get_diagnosis"] {
        let result = client.call(tool, good_arguments(tool)).await;
        let told = &result["structuredContent"]["not_readable"][0];
        assert_eq!(told["code"], "kubeconfig_invalid", "{tool}");
        assert_eq!(told["message"], product::MESSAGE);
        assert!(told["next"].as_str().unwrap().contains("kubectl config"));
    }
}

#[tokio::test]
async fn an_unknown_tool_is_a_protocol_error_and_the_session_goes_on() {
    let mut client = Client::start(Scripted::default()).await;
    let answer = client
        .request(
            "tools/call",
            json!({ "name": "approve_plan", "arguments": {} }),
        )
        .await;
    assert!(
        answer["error"]["message"]
            .as_str()
            .unwrap()
            .contains("approve_plan")
    );
    assert_eq!(
        client.call("list_plugins", json!({})).await["isError"],
        false
    );
}

#[tokio::test]
async fn a_crash_inside_one_tool_is_that_tools_error_and_others_still_work() {
    let mut client = Client::start(Scripted::failing(Trouble::PanicInRuns)).await;
    let result = client.call("get_run", good_arguments("get_run")).await;
    assert_eq!(result["structuredContent"]["code"], "internal");
    assert_eq!(
        client.call("list_plugins", json!({})).await["isError"],
        false
    );
}

#[tokio::test]
async fn a_plan_that_waits_tells_the_exact_command_for_the_person_who_approves() {
    let mut client = Client::start(Scripted::default()).await;
    let result = client
        .call("create_plan", good_arguments("create_plan"))
        .await;
    let answer = &result["structuredContent"];
    let digest = answer["plan"]["digest"].as_str().unwrap();
    let command = format!("naosu plan approve plan-1 --digest {digest}");
    assert!(
        answer["next"].as_str().unwrap().contains(&command),
        "{answer}"
    );
}

#[tokio::test]
async fn an_argument_that_is_mistyped_is_refused_at_every_depth() {
    let mut client = Client::start(Scripted::default()).await;
    for arguments in [
        json!({ "cluster": product::CLUSTER, "symptm": { "text": "x" } }),
        json!({ "cluster": product::CLUSTER, "symptom": { "txt": "x" } }),
    ] {
        let result = client.call("diagnose", arguments).await;
        assert_eq!(
            result["structuredContent"]["code"], "invalid_parameter",
            "{result}"
        );
    }
}

/// An assistant's client puts all of it before every conversation.
#[tokio::test]
async fn the_list_of_tools_is_short() {
    let mut client = Client::start(Scripted::default()).await;
    let tools = client.request("tools/list", json!({})).await["result"]["tools"].clone();
    for tool in tools.as_array().unwrap() {
        let length = tool.to_string().len();
        assert!(length < 14_000, "{}: {length}", tool["name"]);
    }
    assert!(
        tools.to_string().len() < 60_000,
        "{}",
        tools.to_string().len()
    );
}

#[tokio::test]
async fn recorded_reads_are_given_only_when_asked_for() {
    let mut client = Client::start(Scripted::default()).await;
    let brief = client
        .call("get_diagnosis", json!({ "diagnosis": "dia-1" }))
        .await;
    assert!(brief["structuredContent"].get("observations").is_none());
    assert_eq!(brief["structuredContent"]["observation_count"], 1);
    let full = client
        .call(
            "get_diagnosis",
            json!({ "diagnosis": "dia-1", "include_observations": true }),
        )
        .await;
    assert_eq!(
        full["structuredContent"]["observations"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn a_client_that_asks_for_progress_hears_of_each_read_and_judgement() {
    let mut client = Client::start(Scripted::default()).await;
    let params = json!({
        "name": "diagnose",
        "arguments": good_arguments("diagnose"),
        "_meta": { "progressToken": "p1" },
    });
    client.request("tools/call", params).await;
    client.until_notified(2).await;
    let told: Vec<String> = client
        .notifications()
        .iter()
        .filter(|note| note["method"] == "notifications/progress")
        .map(|note| note["params"]["message"].as_str().unwrap().to_owned())
        .collect();
    assert!(told.contains(&"read pods".to_owned()), "{told:?}");
    assert!(
        told.contains(&"nsg-allow-port: confirmed".to_owned()),
        "{told:?}"
    );
}

#[tokio::test]
async fn outside_text_arrives_as_data_and_hides_nothing_from_a_reader() {
    let mut client = Client::start(Scripted::default()).await;
    let line = client
        .raw_call("get_diagnosis", json!({ "diagnosis": "dia-1" }))
        .await;
    assert!(
        !line.contains('\u{1b}'),
        "an escape byte would reach a terminal"
    );
    let hides = |text: &str| text.chars().any(naosu_server::escape::is_obeyed);
    assert!(!hides(&line), "{line}");
    let answer: Value = serde_json::from_str(&line).unwrap();
    let result = &answer["result"];
    // What the assistant reads is what the person beside it sees.
    let summary = &result["structuredContent"]["findings"][0]["summary"];
    let summary = summary.as_str().unwrap();
    assert!(!hides(summary), "{summary}");
    assert_eq!(summary, naosu_server::escape::escape(product::SUMMARY));
    let text = result["content"][0]["text"].as_str().unwrap();
    assert!(!hides(text), "{text}");
    let read: Value = serde_json::from_str(text).unwrap();
    assert_eq!(&read, &result["structuredContent"]);
}

#[tokio::test]
async fn an_error_hides_nothing_either_and_is_as_long_as_in_every_face() {
    // A comment of the caller's comes back in the message of what is malformed.
    let mut client = Client::start(Scripted::default()).await;
    let hidden = format!("\u{202e}\u{200b}{}", "x".repeat(5000));
    let result = client.call("get_plan", json!({ &hidden: 1 })).await;
    let message = result["structuredContent"]["message"].as_str().unwrap();
    assert!(message.contains("\\u{202e}\\u{200b}xx"), "{message}");
    assert!(message.ends_with("xx…"), "{message}");
}

#[tokio::test]
async fn answers_with_outside_text_say_that_it_is_data() {
    let mut client = Client::start(Scripted::default()).await;
    for tool in [
        "diagnose",
        "get_diagnosis",
        "create_plan",
        "get_plan",
        "apply_plan",
        "get_run",
        "rollback_run",
    ] {
        let result = client.call(tool, good_arguments(tool)).await;
        let told = result["structuredContent"]["about"].as_str().unwrap();
        assert!(told.contains("no instructions"), "{tool}: {told}");
    }
}

#[tokio::test]
async fn how_a_run_ended_tells_the_assistant_what_to_do_next() {
    use naosu_engine::model::RunState::{Cancelled, RolledBack, Stuck};
    for (end, told) in [
        (Stuck, "do not try again"),
        (RolledBack, "Diagnose again"),
        (Cancelled, "Nothing was written"),
    ] {
        let mut client = Client::start(Scripted::failing(Trouble::RunEndsIn(end))).await;
        let result = client.call("get_run", good_arguments("get_run")).await;
        let next = result["structuredContent"]["next"].as_str().unwrap();
        assert!(next.contains(told), "{end:?}: {next}");
    }
}

#[tokio::test]
async fn only_a_run_after_which_the_tunnel_carries_is_told_as_a_tunnel_that_answers() {
    for (product, told) in [
        (
            Scripted::failing(Trouble::TunnelReaches(2)),
            "the tunnel answers.",
        ),
        (
            Scripted::failing(Trouble::TunnelReaches(1)),
            "the tunnel does not answer",
        ),
        // A journal in which nobody asked the tunnel.
        (Scripted::default(), "whether the tunnel answers is unknown"),
    ] {
        let mut client = Client::start(product).await;
        let result = client.call("get_run", good_arguments("get_run")).await;
        let next = result["structuredContent"]["next"].as_str().unwrap();
        assert!(next.contains(told), "{told}: {next}");
        let carries = told == "the tunnel answers.";
        assert_eq!(next.contains("cause is gone"), carries, "{next}");
        assert_eq!(next.contains("diagnose again"), !carries, "{next}");
    }
}

#[tokio::test]
async fn a_plan_that_has_a_run_is_told_to_be_looked_up_there_however_it_stands() {
    let mut client = Client::start(Scripted::failing(Trouble::NoRunIsRead)).await;
    let result = client.call("get_plan", good_arguments("get_plan")).await;
    let next = result["structuredContent"]["next"].as_str().unwrap();
    assert!(next.contains("run-1") && next.contains("get_run"), "{next}");
    assert!(!next.contains("was applied"), "{next}");
}

#[tokio::test]
async fn diagnoses_are_listed_with_what_they_confirm_or_else_suspect() {
    for (product, confirmed, suspected) in [
        (Scripted::default(), json!(["nsg-allow-port"]), json!([])),
        (
            Scripted::failing(Trouble::OnlySuspicion),
            json!([]),
            json!(["nsg-allow-port"]),
        ),
    ] {
        let mut client = Client::start(product).await;
        let result = client.call("list_diagnoses", json!({})).await;
        let row = &result["structuredContent"]["diagnoses"][0];
        assert_eq!(row["confirmed"], confirmed);
        assert_eq!(row["suspected"], suspected);
    }
}

#[tokio::test]
async fn an_assistant_is_told_how_to_plan_for_what_is_only_suspected() {
    let mut client = Client::start(Scripted::default()).await;
    let told = client.instructions().to_owned();
    let tools = client.request("tools/list", json!({})).await["result"]["tools"].clone();
    let all = tools.as_array().unwrap().iter();
    let create = all.filter(|tool| tool["name"] == "create_plan");
    let described = create.map(|tool| tool["description"].as_str().unwrap().to_owned());
    for text in described.chain([told]) {
        assert!(
            text.contains("suspected one by naming its plugin"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_plan_shows_what_it_opens_too_much_and_what_is_not_known() {
    let mut client = Client::start(Scripted::default()).await;
    let result = client.call("get_plan", json!({ "plan": "plan-1" })).await;
    let text = result["structuredContent"].to_string();
    for said in [
        "wider_than_needed",
        "delta_partly_unknown",
        "\"excess\":[{",
        "10.224.128.0/17",
        "source in service tag Sql",
        "it was not read",
    ] {
        assert!(text.contains(said), "{said:?} is not in {text}");
    }
}
