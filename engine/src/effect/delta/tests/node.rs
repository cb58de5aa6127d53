//! Firewalls of nodes: iptables and ufw.

use serde_json::json;

use super::*;
use crate::model::{
    effect::{Access, Direction, IpFamily, IptablesBackend, IptablesRuleEffect, UfwRuleEffect},
    query::{FirewallRuleset, NodeObservation, UfwRules, UfwStatus},
};

const ROUTES: &str = "default via 10.224.0.1 dev eth0
10.224.0.0/16 dev eth0 proto kernel scope link src 10.224.0.5
local 10.224.0.5 dev eth0 table local proto kernel scope host src 10.224.0.5
local 127.0.0.0/8 dev lo table local proto kernel scope host src 127.0.0.1
";
const ROUTES_V6: &str = "local ::1 dev lo table local proto kernel metric 0 pref medium\n";

pub(super) fn node(what: NodeObservation) -> Query {
    Query::Node {
        node: "a".into(),
        what,
    }
}

pub(super) fn kernel(ipv4: &str) -> Value {
    json!(FirewallRuleset {
        ipv4_nft: Some(format!("*filter\n{ipv4}COMMIT\n")),
        ipv6_nft: Some(String::new()),
        ipv4_routes: Some(ROUTES.into()),
        ipv6_routes: Some(ROUTES_V6.into()),
        ..FirewallRuleset::default()
    })
}

pub(super) fn recorded(ipv4: &str, status: &str) -> Recorded {
    let mut recorded = Recorded::default();
    recorded.put(node(NodeObservation::FirewallRuleset), kernel(ipv4));
    let head = "Status: active\n\nTo  Action  From\n--  ------  ----\n";
    let status = UfwStatus {
        installed: true,
        verbose: "Status: active\nDefault: deny (incoming), allow (outgoing), deny (routed)\n"
            .into(),
        numbered: format!("{head}{status}"),
        settings: "MANAGE_BUILTINS=no\n".into(),
        files: String::new(),
    };
    recorded.put(node(NodeObservation::UfwStatus), json!(status));
    recorded
}

pub(super) fn needed() -> [Flow; 1] {
    [Flow {
        protocol: "Tcp".into(),
        source_prefixes: vec!["10.224.0.4/32".into()],
        destination_prefixes: vec!["10.224.0.5".into()],
        destination_ports: vec!["10250".into()],
    }]
}

pub(super) fn deletion(specification: &str) -> Effect {
    Effect::IptablesRuleDelete(IptablesRuleEffect {
        node: "a".into(),
        family: IpFamily::Ipv4,
        backend: IptablesBackend::Nft,
        table: "filter".into(),
        chain: "INPUT".into(),
        specification: specification.into(),
        position: 1,
    })
}

#[tokio::test]
async fn a_rule_that_names_the_interface_is_exact_by_the_nodes_own_routes() {
    let rule = "-i eth0 -p tcp -m tcp --dport 10250 -j DROP";
    let rules = format!(":INPUT ACCEPT [0:0]\n-A INPUT {rule}\n");
    let mut recorded = recorded(&rules, "");
    let (opened, excess) = words(&deletion(rule), &needed(), &recorded).await;
    assert!(excess > 0);
    assert_eq!(opened.len(), 1, "{opened:?}");
    assert!(
        opened[0].starts_with("newly allowed: inbound TCP 10250 from"),
        "{opened:?}"
    );
    assert!(!opened[0].contains("depending on"), "{opened:?}");
    // Without them it depends.
    let mut bare = kernel(&rules);
    bare["ipv4_routes"] = Value::Null;
    recorded.put(node(NodeObservation::FirewallRuleset), bare);
    let (opened, _) = words(&deletion(rule), &needed(), &recorded).await;
    assert!(
        opened[0].contains("depending on: in-interface is eth0"),
        "{opened:?}"
    );
}

#[tokio::test]
async fn what_opens_on_the_way_through_the_node_is_told_and_never_needed() {
    let rule = "-p tcp -m tcp --dport 10250 -j DROP";
    let rules = format!(
        ":INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:U - [0:0]\n-A INPUT -j U\n\
         -A FORWARD -j U\n-A FORWARD {rule}\n-A INPUT {rule}\n-A U {rule}\n"
    );
    // Whoever asks for the port from anybody to anybody does not ask for that.
    let needed = [Flow {
        protocol: "Tcp".into(),
        source_prefixes: vec!["*".into()],
        destination_prefixes: vec!["*".into()],
        destination_ports: vec!["10250".into()],
    }];
    let opened = async |chain: &str, without: &str| {
        let effect = match deletion(rule) {
            Effect::IptablesRuleDelete(deleted) => Effect::IptablesRuleDelete(IptablesRuleEffect {
                chain: chain.into(),
                position: if chain == "U" { 1 } else { 2 },
                ..deleted
            }),
            other => other,
        };
        let rules = rules.replace(without, "");
        words(&effect, &needed, &recorded(&rules, "")).await
    };
    let (received, excess) = opened("INPUT", &format!("-A U {rule}\n")).await;
    assert_eq!(excess, 0);
    assert_eq!(received.len(), 1, "{received:?}");
    assert!(
        received[0].starts_with("newly allowed: inbound TCP 10250 from"),
        "{received:?}"
    );
    let (through, excess) = opened("FORWARD", &format!("-A U {rule}\n")).await;
    assert!(excess > 0);
    assert!(
        through
            .iter()
            .all(|line| line.starts_with("newly allowed: forwarded TCP 10250 from")),
        "{through:?}"
    );
    let others = format!("-A FORWARD {rule}\n-A INPUT {rule}\n");
    let (both, excess) = opened("U", &others).await;
    assert!(excess > 0);
    assert!(
        both[0].starts_with("newly allowed: inbound and forwarded TCP 10250 from"),
        "{both:?}"
    );
}

#[tokio::test]
async fn what_a_table_of_nft_does_besides_is_unknown() {
    let rule = "-p tcp -m tcp --dport 10250 -j DROP";
    let rules = format!(":INPUT ACCEPT [0:0]\n-A INPUT {rule}\n");
    let mut recorded = recorded(&rules, "");
    let (opened, _) = words(&deletion(rule), &needed(), &recorded).await;
    assert!(!opened[0].contains("depending on"), "{opened:?}");
    let mut beside = kernel(&rules);
    beside["nft_chains"] = json!([{
        "family": "inet", "table": "firewalld", "chain": "filter_INPUT",
        "type": "filter", "hook": "input", "policy": "accept", "rules": 3,
    }]);
    recorded.put(node(NodeObservation::FirewallRuleset), beside);
    let (opened, _) = words(&deletion(rule), &needed(), &recorded).await;
    assert!(
        opened[0].contains("depending on: the rules of nft table inet firewalld drop"),
        "{opened:?}"
    );
}

#[tokio::test]
async fn addresses_of_the_node_object_serve_where_the_routes_were_not_shown() {
    let rule = "-i lo -p tcp -m tcp --dport 10250 -j DROP";
    let rules = format!(":INPUT ACCEPT [0:0]\n-A INPUT {rule}\n");
    let mut recorded = recorded(&rules, "");
    let mut bare = kernel(&rules);
    bare["ipv4_routes"] = Value::Null;
    recorded.put(node(NodeObservation::FirewallRuleset), bare);
    let own = |opened: &[String]| opened.iter().any(|line| line.contains("10.224.0.5"));
    assert!(!own(&words(&deletion(rule), &[], &recorded).await.0));
    recorded.put(
        Query::KubernetesGet {
            object: crate::model::query::ObjectRef {
                api_version: "v1".into(),
                kind: "Node".into(),
                namespace: String::new(),
                name: "a".into(),
            },
        },
        json!({ "status": { "addresses": [{ "type": "InternalIP", "address": "10.224.0.5" }] } }),
    );
    let (opened, _) = words(&deletion(rule), &[], &recorded).await;
    assert!(own(&opened), "{opened:?}");
}

const UFW: &str = ":INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:ufw-before-input - [0:0]
:ufw-before-logging-input - [0:0]
:ufw-user-input - [0:0]
-A INPUT -j ufw-before-logging-input
-A INPUT -j ufw-before-input
-A ufw-before-input -i lo -j ACCEPT
-A ufw-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A ufw-before-input -j ufw-user-input
-A ufw-user-input -p tcp -m tcp --dport 22 -j ACCEPT
-A ufw-user-input -p tcp -m tcp --dport 10250 -j DROP
";
const LIST: &str = "[ 1] 22/tcp  ALLOW IN  Anywhere\n[ 2] 10250/tcp  DENY IN  Anywhere\n";

fn allow(source: &str) -> Effect {
    Effect::UfwRuleInsert(UfwRuleEffect {
        node: "a".into(),
        position: 2,
        access: Access::Allow,
        direction: Direction::Inbound,
        protocol: "tcp".into(),
        source: source.into(),
        destination: "10.224.0.5".into(),
        port: "10250".into(),
    })
}

#[tokio::test]
async fn a_rule_of_ufws_opens_exactly_its_match_and_the_next_step_sees_it_done() {
    let mut recorded = recorded(UFW, LIST);
    let first = consequence(&allow("10.224.0.4"), &needed(), &recorded).await;
    let Delta::Computed { report, excess } = first.delta else {
        panic!("{:?}", first.delta);
    };
    assert_eq!(
        report.words,
        ["newly allowed: inbound TCP 10250 from 10.224.0.4 to 10.224.0.5"]
    );
    assert!(excess.is_empty());
    // The second step of a plan finds ufw and the kernel as the first leaves them.
    let effect = allow("10.224.0.4");
    let meaning = semantics(&effect);
    let status = recorded.read(&meaning.target()).await;
    let after = meaning.simulate(&State::of(&status)).unwrap().state;
    recorded.put(meaning.target(), after.json().unwrap());
    let beside = first.beside.unwrap();
    recorded.put(
        beside.query,
        serde_json::from_str(&beside.answer.unwrap()).unwrap(),
    );
    let (opened, excess) = words(&allow("10.224.0.0/30"), &needed(), &recorded).await;
    assert_eq!(
        opened,
        ["newly allowed: inbound TCP 10250 from 10.224.0.0/30 to 10.224.0.5"]
    );
    assert_eq!(excess, 1);
}

#[tokio::test]
async fn disabled_ufw_lets_everything_pass_but_what_others_stop() {
    let first = "-A INPUT -j ufw-before-logging-input\n";
    let rules = UFW.replace(first, &format!("-A INPUT -p udp -j DROP\n{first}"));
    let recorded = recorded(&rules, LIST);
    let disable = Effect::UfwDisable { node: "a".into() };
    let Delta::Computed { report, excess } =
        consequence(&disable, &needed(), &recorded).await.delta
    else {
        panic!();
    };
    assert!(!excess.is_empty() && report.newly_denied.is_empty());
    // Its FORWARD drops by default, and is opened, too.
    let through = |flow: &FlowBox| flow.direction == "forwarded" || flow.direction == "any";
    assert!(
        report.newly_allowed.iter().any(through),
        "{:?}",
        report.words
    );
    assert!(excess.iter().any(through), "{excess:?}");
    assert!(!report.is_partly_unknown(), "{:?}", report.words);
    let udp = |flow: &FlowBox| flow.protocol.split(", ").any(|p| p == "UDP" || p == "any");
    assert!(
        report
            .newly_allowed
            .iter()
            .all(|flow| flow.direction == "forwarded" || !udp(flow)),
        "{:?}",
        report.words
    );
}

fn files() -> UfwRules {
    let user = |prefix: &str| {
        format!(
            "*filter\n:{prefix}-user-input - [0:0]\n### tuple ### allow tcp 22\n\
             -A {prefix}-user-input -p tcp --dport 22 -j ACCEPT\nCOMMIT\n"
        )
    };
    let before = |prefix: &str| {
        format!(
            "*filter\n:{prefix}-before-input - [0:0]\n-A {prefix}-before-input -i lo -j ACCEPT\n\
             -A {prefix}-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\nCOMMIT\n"
        )
    };
    UfwRules {
        installed: true,
        defaults: "IPV6=yes\nMANAGE_BUILTINS=no\nDEFAULT_INPUT_POLICY=\"DROP\"\n\
                   DEFAULT_OUTPUT_POLICY=\"ACCEPT\"\nDEFAULT_FORWARD_POLICY=\"DROP\"\n"
            .into(),
        user_rules: user("ufw"),
        user6_rules: user("ufw6"),
        before_rules: before("ufw"),
        before6_rules: before("ufw6"),
        after_rules: "*filter\nCOMMIT\n".into(),
        after6_rules: "*filter\nCOMMIT\n".into(),
        ..UfwRules::default()
    }
}

#[tokio::test]
async fn enabled_ufw_stops_what_its_files_do_not_let_pass_and_hooks_make_it_unknown() {
    let mut recorded = recorded(":INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n", "");
    let inactive = UfwStatus {
        installed: true,
        verbose: "Status: inactive\n".into(),
        numbered: "Status: inactive\n".into(),
        settings: String::new(),
        files: String::new(),
    };
    recorded.put(node(NodeObservation::UfwStatus), json!(inactive));
    let enable = Effect::UfwEnable { node: "a".into() };
    let Delta::Unknown { error } = consequence(&enable, &[], &recorded).await.delta else {
        panic!("its files were not read");
    };
    assert_eq!(error.code, Code::AzureForbidden);
    recorded.put(node(NodeObservation::UfwRules), json!(files()));
    let Delta::Computed { report, .. } = consequence(&enable, &[], &recorded).await.delta else {
        panic!();
    };
    assert!(report.newly_allowed.is_empty() && !report.newly_denied.is_empty());
    assert!(!report.is_partly_unknown(), "{:?}", report.words);
    let open =
        |flow: &FlowBox| flow.protocol == "TCP" && flow.ports.iter().any(|port| port == "22");
    assert!(!report.newly_denied.iter().any(open), "{:?}", report.words);
    let hooked = UfwRules {
        hooks: "/etc/ufw/before.init\n".into(),
        ..files()
    };
    recorded.put(node(NodeObservation::UfwRules), json!(hooked));
    let Delta::Unknown { error } = consequence(&enable, &[], &recorded).await.delta else {
        panic!();
    };
    assert!(error.message.contains("before.init"), "{}", error.message);
}
