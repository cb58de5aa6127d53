//! A change that opens more than is needed, and is partly unknown, says so in
//! every face that shows a plan. MCP's is with its tests.

use naosu_engine::{
    Naosu,
    model::{Delta, PlanId},
};
use serde_json::{Value, json};

use crate::{product::Scripted, served::Served};

#[tokio::test]
async fn the_command_line_shows_what_is_opened_what_is_too_much_and_what_is_not_known() {
    let served = Served::start(Scripted::default()).await;
    let shown = served.naosu(&["plan", "show", "plan-1"]).await;
    let page = String::from_utf8(shown.stdout).unwrap();
    for words in [
        "wider_than_needed: it opens more than the finding needs",
        "delta_partly_unknown: which packets it changes depends on a tag",
        "+ inbound TCP 10250 from 10.224.0.0/16 to 10.224.0.5, new connections",
        "NOT KNOWN:",
        "depending on: source in service tag Sql",
        "because source in service tag Sql: it was not read",
        "WIDER THAN THE FINDING NEEDS, by:",
        "! inbound TCP 10250 from 10.224.128.0/17 to 10.224.0.5, new connections",
    ] {
        let one_line = page.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(one_line.contains(words), "{words:?} is not in\n{page}");
    }
    let json = served
        .naosu(&["plan", "show", "plan-1", "-o", "json"])
        .await;
    let plan: Value = serde_json::from_slice(&json.stdout).unwrap();
    let delta = &plan["content"]["steps"][0]["delta"];
    assert_eq!(delta["excess"][0]["src"], json!(["10.224.128.0/17"]));
    assert_eq!(
        delta["report"]["unknown"][0]["conditions"][0],
        "source in service tag Sql"
    );
    served.end().await;
}

#[tokio::test]
async fn grpc_carries_boxes_and_atoms_and_not_only_words() {
    let served = Served::start(Scripted::default()).await;
    let plan = served
        .client()
        .plan(&PlanId("plan-1".into()))
        .await
        .unwrap();
    let codes: Vec<&str> = plan
        .content
        .warnings
        .iter()
        .map(|w| w.code.as_str())
        .collect();
    assert_eq!(codes, ["wider_than_needed", "delta_partly_unknown"]);
    let Delta::Computed { report, excess } = &plan.content.steps[0].delta else {
        panic!("{:?}", plan.content.steps[0].delta);
    };
    assert_eq!(report.newly_allowed[0].src, ["10.224.0.0/16"]);
    assert!(report.is_partly_unknown());
    assert_eq!(report.atoms[0].reason, "it was not read");
    assert_eq!(excess[0].src, ["10.224.128.0/17"]);
    served.end().await;
}
