//! Rules that something else keeps in order are never proposed for deletion.

use naosu_iptables_delete_rule::IptablesDeleteRule;
use naosu_plugin::{
    Judgement, NodeObservation, NodeQuery, PluginError, Query,
    kubernetes::{all_nodes, system_pods},
    testing::{self, Estate, Recorded},
};
use serde_json::json;

/// Chains of components of the cluster, one of each way they are named.
const CHAINS: [&str; 15] = [
    "KUBE-FIREWALL",
    "KUBE-ROUTER-INPUT",
    "KUBE-NODEPORTS",
    "AZURE-NPM",
    "AZURE-NPM-INGRESS",
    "cilium_input",
    "cilium-host",
    "CILIUM_INPUT",
    "CILIUM-INPUT",
    "OLD_CILIUM_INPUT",
    "IP-MASQ-AGENT",
    "IP-MASQ-AGENT-IPV6",
    "cali-INPUT",
    "cali:INPUT",
    "CNI-HOSTPORT-DNAT",
];

/// Comments that components put on rules outside their own chains.
const COMMENTS: [&str; 6] = [
    "kubernetes firewall for dropping marked packets",
    "kubernetes: drop",
    "cilium: any",
    "cilium drop",
    "ip-masq-agent: drop",
    "cali:Wlo9vLyQm9xZz0a1",
];

const UFW: [&str; 4] = [
    "ufw-user-input",
    "ufw-before-input",
    "ufw6-user-input",
    "ufw6-before-input",
];

const DROP: &str = "-p tcp -m tcp --dport 10250";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Ipv4,
    Ipv6,
}

/// Node 1 has these rules beside a chain of this name.
fn recorded(family: Family, chain: &str, rules: &str) -> Recorded {
    let mut recorded = Estate::default().record();
    if family == Family::Ipv6 {
        recorded.edit(&all_nodes(), |nodes| {
            for (index, node) in nodes.as_array_mut().unwrap().iter_mut().enumerate() {
                let address = format!("fd00:224::{}", index + 4);
                node["status"]["addresses"][0]["address"] = json!(address);
            }
        });
        for selector in ["app=konnectivity-agent", "component=tunnel"] {
            recorded.edit(&system_pods(selector), |pods| {
                pods[0]["status"]["podIP"] = json!("fd00:244::7");
                pods[0]["status"]["hostIP"] = json!("fd00:224::4");
            });
        }
    }
    let ruleset = match family {
        Family::Ipv4 => "ipv4_nft",
        Family::Ipv6 => "ipv6_nft",
    };
    for node in 0..3 {
        let rules = if node == 1 { rules } else { "" };
        let query = Query::Node(NodeQuery {
            node: Estate::node_name(node),
            what: NodeObservation::FirewallRuleset,
        });
        let dump = format!(
            "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n\
             :{chain} - [0:0]\n{rules}COMMIT\n"
        );
        recorded.put(query, json!({ ruleset: dump }));
    }
    recorded
}

/// The rule blocks, and is not proposed for deletion, alone or beside one that is a
/// person's.
fn require_kept(family: Family, chain: &str, rules: &str) {
    let persons = format!("-A INPUT {DROP} -s 10.0.0.0/8 -j DROP\n");
    let beside = match family {
        Family::Ipv4 => format!("{persons}{rules}"),
        Family::Ipv6 => format!("{}{rules}", persons.replace("10.0.0.0/8", "fd00::/8")),
    };
    for rules in [rules, &beside] {
        let recorded = recorded(family, chain, rules);
        let finding = testing::diagnose::<IptablesDeleteRule>(&recorded).unwrap();
        let context = format!("{family:?} {rules}: {}", finding.summary);
        assert_eq!(finding.judgement, Judgement::Confirmed, "{context}");
        let planned = testing::plan::<IptablesDeleteRule>(&recorded, "{}");
        assert!(
            matches!(planned, Err(PluginError::Infeasible(_))),
            "{context} {planned:?}"
        );
    }
    let recorded = recorded(family, chain, rules);
    let finding = testing::diagnose::<IptablesDeleteRule>(&recorded).unwrap();
    let why = finding.infeasible.unwrap();
    assert!(why.contains("belong to the cluster"), "{rules}: {why}");
}

#[test]
fn no_rule_in_a_chain_of_the_cluster_is_deleted_however_it_is_come_to() {
    for family in [Family::Ipv4, Family::Ipv6] {
        for chain in CHAINS {
            for way in ["-j", "-g"] {
                let rules = format!("-A INPUT {way} {chain}\n-A {chain} {DROP} -j DROP\n");
                require_kept(family, chain, &rules);
            }
        }
    }
}

#[test]
fn no_rule_with_the_comment_of_a_component_is_deleted_in_whatever_chain() {
    for family in [Family::Ipv4, Family::Ipv6] {
        for comment in COMMENTS {
            let rule = format!("{DROP} -m comment --comment \"{comment}\" -j DROP");
            require_kept(family, "OWN", &format!("-A INPUT {rule}\n"));
            let rules = format!("-A INPUT -j OWN\n-A OWN {rule}\n");
            require_kept(family, "OWN", &rules);
        }
    }
}

#[test]
fn no_rule_of_ufw_is_deleted_but_left_to_its_own_plugins() {
    for family in [Family::Ipv4, Family::Ipv6] {
        for chain in UFW {
            let rules = format!("-A INPUT -j {chain}\n-A {chain} {DROP} -j DROP\n");
            let recorded = recorded(family, chain, &rules);
            let finding = testing::diagnose::<IptablesDeleteRule>(&recorded).unwrap();
            assert_eq!(finding.judgement, Judgement::RuledOut, "{chain}");
            let planned = testing::plan::<IptablesDeleteRule>(&recorded, "{}");
            assert!(
                matches!(planned, Err(PluginError::NothingToDo(_))),
                "{chain} {planned:?}"
            );
        }
    }
}

#[test]
fn a_chain_of_a_person_that_is_named_nearly_so_is_a_persons() {
    for chain in ["KUBELET", "AZURE", "MY-KUBE-FIREWALL", "ufwish", "calico"] {
        let rules = format!("-A INPUT -j {chain}\n-A {chain} {DROP} -j DROP\n");
        let recorded = recorded(Family::Ipv4, chain, &rules);
        let planned = testing::plan::<IptablesDeleteRule>(&recorded, "{}").unwrap();
        assert_eq!(planned.steps.len(), 1, "{chain}");
    }
}
