//! Writes to Azure against a scripted peer: exactly which requests are sent, and
//! whether the answer says that nothing was changed.

mod support;

use std::sync::{Arc, Mutex, OnceLock};

use naosu_engine::{
    driver::{Effector, PerformError, Performed},
    error::Code,
    model::{
        Effect, Observation, Query,
        effect::{Access as FirewallAccess, FirewallRuleEffect},
    },
};
use naosu_flow::nsg::{Access, Direction, NsgRule};
use serde_json::{Value, json};
use support::{
    Action, Files, Peer, answer, answer_with, cluster, drivers, key, nsg_id, observation,
};

const ETAG: &str = "W/\"11111111-1111-1111-1111-111111111111\"";
const DONE: &str = r#"{"etag":"W/\"2\"","properties":{"provisioningState":"Succeeded"}}"#;

fn rule() -> NsgRule {
    NsgRule {
        name: "naosu-allow-10250".to_owned(),
        priority: 200,
        direction: Direction::Inbound,
        access: Access::Allow,
        protocol: "Tcp".to_owned(),
        source_prefixes: vec!["10.224.0.0/16".to_owned()],
        source_ports: vec!["*".to_owned()],
        source_groups: vec![],
        destination_prefixes: vec!["10.224.0.0/16".to_owned()],
        destination_ports: vec!["10250".to_owned()],
        destination_groups: vec![],
        description: String::new(),
    }
}

fn create() -> Effect {
    Effect::NsgRuleCreate {
        nsg: nsg_id(),
        rule: rule(),
    }
}

fn group(etag: Option<&str>, rules: &[NsgRule]) -> Observation {
    let rules: Vec<Value> = rules.iter().map(|rule| rule.to_arm().unwrap()).collect();
    let body = json!({
        "id": nsg_id(), "name": "nsg", "location": "eastus",
        "properties": {"securityRules": rules, "defaultSecurityRules": []},
    });
    observation(
        Query::AzureGet { resource: nsg_id() },
        &body.to_string(),
        etag,
    )
}

async fn perform(peer: &Peer) -> Result<Performed, PerformError> {
    let files = Files::new();
    drivers(peer, &files)
        .perform(&cluster(), &create(), &group(Some(ETAG), &[]), &key())
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_carries_the_etag_it_was_planned_on_and_the_whole_group() {
    let peer = Peer::script(vec![answer(200, DONE)]).await;
    let performed = perform(&peer).await.unwrap();
    assert!(!performed.already_in_place);
    assert!(performed.detail.contains("W/\"2\""), "{}", performed.detail);
    let received = peer.received();
    assert_eq!(received.len(), 1);
    assert_eq!(received[0].method, "PUT");
    assert_eq!(received[0].header("if-match"), Some(ETAG));
    assert!(received[0].path.starts_with(&nsg_id()));
    let body: Value = serde_json::from_str(&received[0].body).unwrap();
    assert_eq!(
        body["properties"]["securityRules"][0]["name"],
        "naosu-allow-10250"
    );
    assert_eq!(body["location"], "eastus");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_try_has_the_same_correlation_id_after_a_restart() {
    let peer = Peer::with(|_| answer(200, DONE)).await;
    perform(&peer).await.unwrap();
    perform(&peer).await.unwrap();
    let received = peer.received();
    let id = |index: usize| {
        received[index]
            .header("x-ms-correlation-request-id")
            .unwrap()
    };
    assert_eq!(id(0), id(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_final_and_says_that_nothing_was_applied() {
    for (status, code) in [
        (400, Code::AzureBadRequest),
        (403, Code::AzureForbidden),
        (404, Code::AzureNotFound),
        (409, Code::AzureConflict),
        (412, Code::AzurePreconditionFailed),
    ] {
        let body = r#"{"error":{"code":"X","message":"the reason"}}"#;
        let peer = Peer::with(move |_| answer(status, body)).await;
        let error = perform(&peer).await.unwrap_err();
        let PerformError::NotApplied(error) = error else {
            panic!("{status} is a certain answer");
        };
        assert_eq!(error.code, code);
        assert!(error.message.contains("the reason"));
        assert_eq!(peer.received().len(), 1, "{status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_leaves_it_open_is_unknown_and_the_write_is_not_sent_again() {
    for (name, action, code) in [
        ("500", answer(500, "{}"), Code::AzureServerError),
        (
            "503",
            answer_with(503, &[("retry-after", "0")], ""),
            Code::AzureServerError,
        ),
        ("408", answer(408, ""), Code::AzureBadRequest),
        ("garbage", answer(200, "<html>"), Code::AzureBadResponse),
        ("empty", answer(200, ""), Code::AzureBadResponse),
        ("202 to nowhere", answer(202, ""), Code::AzureBadResponse),
        ("closed", Action::Close, Code::AzureUnreachable),
        ("silence", Action::Hang, Code::AzureUnreachable),
    ] {
        let peer = Peer::with(move |_| action.clone()).await;
        let error = perform(&peer).await.unwrap_err();
        let PerformError::Unknown(error) = error else {
            panic!("{name} does not say that nothing was applied");
        };
        assert_eq!(error.code, code, "{name}");
        assert_eq!(peer.received().len(), 1, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_azure_did_not_begin_may_be_sent_again() {
    let peer = Peer::script(vec![
        answer_with(429, &[("retry-after", "0")], "{}"),
        answer(401, "{}"),
        answer(200, DONE),
    ])
    .await;
    perform(&peer).await.unwrap();
    let received = peer.received();
    assert_eq!(received.len(), 3);
    assert!(
        received
            .iter()
            .all(|r| r.method == "PUT" && r.header("if-match") == Some(ETAG))
    );
    assert!(received.iter().all(|r| r.body == received[0].body));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_etag_nothing_is_sent() {
    let peer = Peer::with(|_| answer(200, DONE)).await;
    let files = Files::new();
    let error = drivers(&peer, &files)
        .perform(&cluster(), &create(), &group(None, &[]), &key())
        .await
        .unwrap_err();
    assert!(matches!(error, PerformError::NotApplied(error) if error.code == Code::Unsupported));
    assert!(peer.received().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_place_and_what_someone_changed_is_decided_without_a_request() {
    let peer = Peer::with(|_| answer(200, DONE)).await;
    let files = Files::new();
    let drivers = drivers(&peer, &files);
    let there = group(Some(ETAG), &[rule()]);
    let performed = drivers
        .perform(&cluster(), &create(), &there, &key())
        .await
        .unwrap();
    assert!(performed.already_in_place);
    let mut theirs = rule();
    theirs.priority = 300;
    let delete = Effect::NsgRuleDelete {
        nsg: nsg_id(),
        rule: theirs,
    };
    let error = drivers
        .perform(&cluster(), &delete, &there, &key())
        .await
        .unwrap_err();
    assert!(matches!(error, PerformError::NotApplied(error) if error.code == Code::Drift));
    assert!(peer.received().is_empty());
}

/// A peer that accepts the PUT as given and answers polls in order.
async fn operation(accepted: impl Fn(&str) -> Action + Send + 'static, polls: Vec<Action>) -> Peer {
    let mut polls = polls.into_iter();
    let mut last = None;
    Peer::with(move |request| {
        if request.method == "PUT" {
            return accepted(request.header("host").unwrap());
        }
        if let Some(next) = polls.next() {
            last = Some(next);
        }
        last.clone().unwrap_or(Action::Close)
    })
    .await
}

fn begun(host: &str) -> Action {
    answer_with(
        201,
        &[(
            "azure-asyncoperation",
            &format!("http://{host}/subscriptions/x/op"),
        )],
        r#"{"properties":{"provisioningState":"Updating"}}"#,
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_is_followed_to_its_end() {
    let running = answer_with(200, &[("retry-after", "0")], r#"{"status":"InProgress"}"#);
    let peer = operation(
        begun,
        vec![
            running.clone(),
            running,
            answer(200, r#"{"status":"Succeeded"}"#),
        ],
    )
    .await;
    perform(&peer).await.unwrap();
    assert_eq!((peer.count("PUT"), peer.count("GET")), (1, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_that_fails_for_a_moment_is_repeated_but_the_write_is_not() {
    let peer = operation(
        begun,
        vec![
            answer(503, ""),
            Action::Close,
            answer(200, r#"{"status":"Succeeded"}"#),
        ],
    )
    .await;
    perform(&peer).await.unwrap();
    assert_eq!((peer.count("PUT"), peer.count("GET")), (1, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn location_is_followed_where_there_is_no_other_place() {
    let accepted = |host: &str| {
        answer_with(
            202,
            &[("location", &format!("http://{host}/subscriptions/x/result"))],
            "",
        )
    };
    let peer = operation(accepted, vec![answer(202, ""), answer(200, "")]).await;
    perform(&peer).await.unwrap();
    assert_eq!(peer.count("GET"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resource_still_updating_is_followed_by_itself() {
    let accepted = |_: &str| answer(200, r#"{"properties":{"provisioningState":"Updating"}}"#);
    let updating = answer(200, r#"{"properties":{"provisioningState":"Updating"}}"#);
    let peer = operation(accepted, vec![updating, answer(200, DONE)]).await;
    perform(&peer).await.unwrap();
    assert!(peer.received()[1].path.starts_with(&nsg_id()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_that_does_not_end_well_leaves_the_outcome_unknown() {
    let failed = r#"{"status":"Failed","error":{"code":"AnotherOperationInProgress","message":"Another operation is in progress."}}"#;
    let doubtful =
        r#"{"name":"x","status":"Succeeded","error":{"code":"Oops","message":"not really"}}"#;
    for (name, poll, code) in [
        ("failed", answer(200, failed), Code::AzureOperationFailed),
        (
            "canceled",
            answer(200, r#"{"status":"Canceled"}"#),
            Code::AzureOperationFailed,
        ),
        (
            "succeeded with an error",
            answer(200, doubtful),
            Code::AzureOperationFailed,
        ),
        ("forbidden poll", answer(403, "{}"), Code::AzureBadResponse),
        ("lost operation", answer(404, "{}"), Code::AzureBadResponse),
        ("garbage", answer(200, "<html>"), Code::AzureBadResponse),
        ("no status", answer(200, "{}"), Code::AzureBadResponse),
        (
            "endless",
            answer(200, r#"{"status":"InProgress"}"#),
            Code::DeadlineExceeded,
        ),
        ("closed", Action::Close, Code::AzureUnreachable),
    ] {
        let peer = operation(begun, vec![poll]).await;
        let error = perform(&peer).await.unwrap_err();
        let PerformError::Unknown(error) = error else {
            panic!("{name} does not say that nothing was applied");
        };
        assert_eq!(error.code, code, "{name}: {error}");
        assert_eq!(peer.count("PUT"), 1, "{name}");
    }
}

/// What this process logged.
#[derive(Clone)]
struct Logged(Arc<Mutex<Vec<u8>>>);

impl Logged {
    fn new() -> Self {
        static ONCE: OnceLock<Logged> = OnceLock::new();
        let logged = ONCE.get_or_init(|| {
            let logged = Self(Arc::default());
            let writer = logged.clone();
            let subscriber = tracing_subscriber::fmt()
                .with_ansi(false)
                .with_writer(move || writer.clone())
                .finish();
            tracing::subscriber::set_global_default(subscriber).unwrap();
            logged
        });
        logged.clone()
    }

    fn lines_with(&self, word: &str) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        let lines = text.lines().filter(|line| line.contains(word));
        lines.map(str::to_owned).collect()
    }
}

impl std::io::Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_write_is_logged_and_told_with_the_ids_that_azure_knows_it_by() {
    let logged = Logged::new();
    let refused = answer_with(409, &[("x-ms-request-id", "of-the-refusal")], "{}");
    let peer = Peer::with(move |_| refused.clone()).await;
    let ends_badly = |host: &str| {
        let place = format!("http://{host}/subscriptions/x/op");
        let headers = [
            ("azure-asyncoperation", place.as_str()),
            ("x-ms-request-id", "of-the-operation"),
        ];
        answer_with(201, &headers, r#"{"properties":{}}"#)
    };
    let failed = answer(
        200,
        r#"{"status":"Failed","error":{"code":"X","message":"m"}}"#,
    );
    let operation = operation(ends_badly, vec![failed]).await;
    let closed = Peer::with(|_| Action::Close).await;
    // Every try of one key has one correlation id, so that a line is found by both.
    for (peer, request_id, word) in [
        (&peer, "of-the-refusal", "of-the-refusal"),
        (&operation, "of-the-operation", "of-the-operation"),
        (&closed, "", "got no answer"),
    ] {
        let (PerformError::NotApplied(error) | PerformError::Unknown(error)) =
            perform(peer).await.unwrap_err();
        let sent = peer.received().remove(0);
        let correlation = sent.header("x-ms-correlation-request-id").unwrap();
        assert!(error.message.contains(correlation), "{error}");
        assert!(error.message.contains(request_id), "{error}");
        let lines = logged.lines_with(correlation);
        let warned = |line: &&String| {
            line.contains("WARN") && line.contains("a write to Azure failed") && line.contains(word)
        };
        assert!(lines.iter().any(|line| warned(&line)), "{lines:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_elsewhere_is_not_followed() {
    let elsewhere = Peer::with(|_| answer(200, r#"{"status":"Succeeded"}"#)).await;
    let url = elsewhere.url.clone();
    let accepted =
        move |_: &str| answer_with(202, &[("azure-asyncoperation", &format!("{url}/op"))], "");
    let peer = operation(accepted, vec![]).await;
    let error = perform(&peer).await.unwrap_err();
    assert!(matches!(error, PerformError::Unknown(error) if error.code == Code::AzureBadResponse));
    assert!(elsewhere.received().is_empty());
}

/// Something of every kind that Azure performs, and its resource as it is before.
fn written() -> Vec<(Effect, Value)> {
    let network = nsg_id()
        .rsplit_once("/networkSecurityGroups")
        .unwrap()
        .0
        .to_owned();
    let firewall = format!("{network}/azureFirewalls/fw");
    let home = format!("{network}/firewallPolicies/p/ruleCollectionGroups/g");
    let network_rule = |resource: &str, name: &str| FirewallRuleEffect {
        resource: resource.to_owned(),
        collection: "tunnel".to_owned(),
        collection_priority: 200,
        access: FirewallAccess::Allow,
        name: name.to_owned(),
        protocols: vec!["TCP".to_owned()],
        source_addresses: vec!["10.224.0.0/16".to_owned()],
        destination_addresses: vec!["AzureCloud.eastus".to_owned()],
        destination_ports: vec!["9000".to_owned()],
    };
    let old = |protocols: &str| {
        json!({
            "name": "old", "ruleType": "NetworkRule", protocols: ["TCP"],
            "sourceAddresses": ["10.224.0.0/16"], "destinationAddresses": ["AzureCloud.eastus"],
            "destinationPorts": ["9000"],
        })
    };
    let classic = json!({
        "id": firewall, "name": "fw", "location": "eastus", "etag": ETAG,
        "properties": { "provisioningState": "Succeeded", "networkRuleCollections": [{
            "name": "tunnel", "properties": {
                "priority": 200, "action": { "type": "Allow" }, "rules": [old("protocols")] } }] },
    });
    let group_of_policy = json!({
        "id": home, "name": "g", "etag": ETAG,
        "properties": { "priority": 400, "ruleCollections": [{
            "name": "tunnel", "priority": 200, "action": { "type": "Allow" },
            "ruleCollectionType": "FirewallPolicyFilterRuleCollection",
            "rules": [old("ipProtocols")] }] },
    });
    let aks = json!({
        "id": cluster(), "name": "aks", "location": "eastus", "eTag": ETAG,
        "properties": { "provisioningState": "Succeeded", "dnsPrefix": "x", "networkProfile": {
            "outboundType": "loadBalancer",
            "loadBalancerProfile": { "allocatedOutboundPorts": 0,
                "managedOutboundIPs": { "count": 1 },
                "effectiveOutboundIPs": [{ "id": "/ip" }] } } },
    });
    let profile = |patch: Value| Effect::NetworkProfileSet {
        cluster: cluster().to_string(),
        patch,
    };
    let of_group = |rules: &[NsgRule]| -> Value {
        let read = group(Some(ETAG), rules).answer.unwrap();
        serde_json::from_str(&read).unwrap()
    };
    let nsg = nsg_id();
    let other = NsgRule {
        name: "other".to_owned(),
        ..rule()
    };
    vec![
        (create(), of_group(&[])),
        (
            Effect::NsgRuleDelete {
                nsg: nsg.clone(),
                rule: rule(),
            },
            of_group(&[rule()]),
        ),
        (
            Effect::NsgRulesReplace {
                nsg: nsg.clone(),
                rules: vec![other],
            },
            of_group(&[rule()]),
        ),
        (
            Effect::FirewallRuleAdd(network_rule(&firewall, "ours")),
            classic.clone(),
        ),
        (
            Effect::FirewallRuleRemove(network_rule(&firewall, "old")),
            classic,
        ),
        (
            Effect::FirewallRuleAdd(network_rule(&home, "ours")),
            group_of_policy.clone(),
        ),
        (
            Effect::FirewallRuleRemove(network_rule(&home, "old")),
            group_of_policy,
        ),
        (
            profile(json!({ "loadBalancerProfile": {
                "allocatedOutboundPorts": 8000, "managedOutboundIPs": { "count": 3 } } })),
            aks.clone(),
        ),
        (
            profile(json!({
                "outboundType": "managedNATGateway", "loadBalancerProfile": null,
                "natGatewayProfile": { "managedOutboundIPProfile": { "count": 2 } } })),
            aks,
        ),
        (
            Effect::ArmPatch {
                resource: nsg,
                patch: json!({ "tags": { "a": "b" } }),
            },
            of_group(&[]),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn each_dry_run_shows_the_request_that_is_sent_then_and_sends_nothing() {
    let files = Files::new();
    for (effect, resource) in written() {
        let kind = effect.kind();
        let peer = Peer::with(|_| answer(200, DONE)).await;
        let drivers = drivers(&peer, &files);
        let query = naosu_engine::effect::target(&effect);
        let before = observation(query, &resource.to_string(), Some(ETAG));
        let shown = drivers.dry_run(&cluster(), &effect, &before).await;
        let shown = shown.unwrap().unwrap();
        assert!(peer.received().is_empty(), "{kind:?}");
        assert_eq!(shown.by, "simulated", "{kind:?}");
        assert_ne!(shown.before, shown.after, "{kind:?}");
        let performed = drivers.perform(&cluster(), &effect, &before, &key()).await;
        assert!(!performed.unwrap().already_in_place, "{kind:?}");
        let [sent] = &peer.received()[..] else {
            panic!("{kind:?} {:?}", peer.received());
        };
        assert_eq!(sent.method, "PUT", "{kind:?}");
        assert_eq!(sent.header("if-match"), Some(ETAG), "{kind:?}");
        assert_eq!(shown.request, format!("PUT {}{}", peer.url, sent.path));
        let body: Value = serde_json::from_str(&sent.body).unwrap();
        assert_eq!(shown.body, Some(body), "{kind:?}");
    }
}
