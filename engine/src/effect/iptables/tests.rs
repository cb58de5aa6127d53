//! Rules that something else keeps in order are neither deleted nor inserted,
//! whatever plugin proposes it.

use super::*;

/// Chains of others, one of each way they are named.
const CHAINS: [&str; 14] = [
    "KUBE-FIREWALL",
    "KUBE-SERVICES",
    "AZURE-NPM",
    "AZURE-NPM-INGRESS",
    "cilium_input",
    "CILIUM_INPUT",
    "CILIUM-INPUT",
    "OLD_CILIUM_INPUT",
    "IP-MASQ-AGENT",
    "cali-INPUT",
    "cali:INPUT",
    "CNI-HOSTPORT-DNAT",
    "ufw-user-input",
    "ufw6-user-input",
];

const COMMENTS: [&str; 6] = [
    "kubernetes firewall for dropping marked packets",
    "kubernetes: drop",
    "cilium: any",
    "cilium drop",
    "ip-masq-agent: drop",
    "cali:Wlo9vLyQm9xZz0a1",
];

const DROP: &str = "-p tcp -m tcp --dport 10250 -j DROP";

const EVERY_RULESET: [(IpFamily, IptablesBackend); 4] = [
    (IpFamily::Ipv4, IptablesBackend::Nft),
    (IpFamily::Ipv4, IptablesBackend::Legacy),
    (IpFamily::Ipv6, IptablesBackend::Nft),
    (IpFamily::Ipv6, IptablesBackend::Legacy),
];

/// What deleting and inserting a rule comes to, in every ruleset.
fn simulated(chain: &str, specification: &str) -> Vec<Result<Simulation, Error>> {
    let mut outcomes = Vec::new();
    for (family, backend) in EVERY_RULESET {
        let rule = IptablesRuleEffect {
            node: "a".into(),
            family,
            backend,
            table: "filter".into(),
            chain: chain.into(),
            specification: specification.into(),
            position: 1,
        };
        let with = |rules: &str| {
            let declared = match chain {
                "INPUT" => String::new(),
                own => format!(":{own} - [0:0]\n"),
            };
            let mut ruleset = FirewallRuleset::default();
            *dump(&mut ruleset, family, backend) = Some(format!(
                "*filter\n:INPUT ACCEPT [0:0]\n{declared}{rules}COMMIT\n"
            ));
            State {
                what: "the node".into(),
                answer: Ok(json!(ruleset).to_string().into()),
            }
        };
        let there = with(&format!("-A {chain} {specification}\n"));
        outcomes.push(RuleDelete { rule: &rule }.simulate(&there));
        outcomes.push(RuleInsert { rule: &rule }.simulate(&with("")));
    }
    outcomes
}

fn require_refused(chain: &str, specification: &str) {
    for outcome in simulated(chain, specification) {
        let error = outcome.expect_err(&format!("{chain} {specification}"));
        assert_eq!(error.code, Code::InfeasibleHere, "{chain} {specification}");
        assert!(error.message.contains("belongs to"), "{}", error.message);
    }
}

#[test]
fn a_rule_in_a_chain_of_others_or_leading_to_one_is_refused() {
    for chain in CHAINS {
        require_refused(chain, DROP);
        require_refused("INPUT", &format!("-j {chain}"));
        require_refused("INPUT", &format!("-p tcp -m tcp --dport 10250 -g {chain}"));
        require_refused("OWN", &format!("-m weird --weird 1 -j {chain}"));
    }
}

#[test]
fn a_rule_with_the_comment_of_a_component_is_refused_in_whatever_chain() {
    for comment in COMMENTS {
        for chain in ["INPUT", "OWN"] {
            let commented = format!("-p tcp -m comment --comment \"{comment}\" -j DROP");
            require_refused(chain, &commented);
        }
    }
}

#[test]
fn a_rule_of_a_person_is_not() {
    let commented = "-p tcp -m comment --comment \"by hand, not kubernetes\" -j DROP";
    for (chain, rule) in [
        ("INPUT", DROP),
        ("OWN", DROP),
        ("KUBELET", DROP),
        ("INPUT", commented),
    ] {
        for outcome in simulated(chain, rule) {
            assert!(outcome.is_ok(), "{chain} {rule}: {outcome:?}");
        }
    }
}
