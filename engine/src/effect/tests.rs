//! What must hold of every kind of effect: done twice it changes nothing the
//! second time, taken back it leaves what was there, and taken back twice, too.

use serde_json::{Value, json};

use super::*;
use crate::model::{
    effect::{
        Access, Direction, FirewallRuleEffect, IpFamily, IptablesBackend, IptablesRuleEffect,
        NsgRule, UfwRuleEffect,
    },
    query::{FirewallRuleset, ObjectRef, UfwStatus},
};

fn rule(name: &str, priority: u16) -> NsgRule {
    NsgRule {
        name: name.into(),
        priority,
        direction: Direction::Inbound,
        access: Access::Allow,
        protocol: "Tcp".into(),
        source_prefixes: vec!["10.224.0.0/16".into(), "10.1.0.0/16".into()],
        source_ports: vec!["*".into()],
        source_groups: vec![],
        destination_prefixes: vec!["*".into()],
        destination_ports: vec!["10250".into()],
        destination_groups: vec![],
        description: String::new(),
    }
}

fn nsg(rules: &[NsgRule]) -> Value {
    let rules: Vec<Value> = rules.iter().map(|r| r.to_arm().unwrap()).collect();
    json!({ "name": "n", "id": "/n", "properties": { "securityRules": rules } })
}

fn firewall_rule(name: &str) -> FirewallRuleEffect {
    FirewallRuleEffect {
        resource: "/fw".into(),
        collection: "tunnel".into(),
        collection_priority: 200,
        access: Access::Allow,
        name: name.into(),
        protocols: vec!["TCP".into()],
        source_addresses: vec!["10.224.0.0/16".into()],
        destination_addresses: vec!["AzureCloud.westeurope".into()],
        destination_ports: vec!["9000".into()],
    }
}

fn ufw_rule(position: u32, port: &str) -> UfwRuleEffect {
    UfwRuleEffect {
        node: "a".into(),
        position,
        access: Access::Allow,
        direction: Direction::Inbound,
        protocol: "tcp".into(),
        source: "10.224.0.0/16".into(),
        destination: "any".into(),
        port: port.into(),
    }
}

fn ufw() -> Value {
    json!(UfwStatus {
        installed: true,
        verbose: "Status: active\nDefault: deny (incoming)\n".into(),
        numbered: "[ 1] 10250/tcp  DENY IN  Anywhere\n[ 2] 22/tcp  ALLOW IN  10.224.0.0/16\n"
            .into(),
    })
}

fn iptables_rule(position: u32, specification: &str) -> IptablesRuleEffect {
    IptablesRuleEffect {
        node: "a".into(),
        family: IpFamily::Ipv4,
        backend: IptablesBackend::Nft,
        table: "filter".into(),
        chain: "INPUT".into(),
        specification: specification.into(),
        position,
    }
}

const DROP: &str = "-p tcp -m tcp --dport 10250 -j DROP";

fn iptables() -> Value {
    json!(FirewallRuleset {
        ipv4_nft: Some(format!(
            "*filter\n:INPUT ACCEPT [0:0]\n[7:9] -A INPUT -i lo -j ACCEPT\n-A INPUT {DROP}\nCOMMIT\n"
        )),
        ..FirewallRuleset::default()
    })
}

/// Every reversible kind with a state that it can be performed on.
fn reversible() -> Vec<(Effect, Value)> {
    let firewall = json!({ "properties": { "networkRuleCollections": [] } });
    let with_rule = {
        let add = Effect::FirewallRuleAdd(firewall_rule("r"));
        let state = state(&firewall);
        semantics(&add)
            .simulate(&state)
            .unwrap()
            .state
            .json()
            .unwrap()
    };
    vec![
        (
            Effect::NsgRuleCreate {
                nsg: "/n".into(),
                rule: rule("new", 200),
            },
            nsg(&[rule("old", 300)]),
        ),
        (
            Effect::NsgRuleDelete {
                nsg: "/n".into(),
                rule: rule("old", 300),
            },
            nsg(&[rule("old", 300)]),
        ),
        (
            Effect::NsgRulesReplace {
                nsg: "/n".into(),
                rules: vec![rule("old", 310)],
            },
            nsg(&[rule("old", 300)]),
        ),
        (Effect::FirewallRuleAdd(firewall_rule("r")), firewall),
        (Effect::FirewallRuleRemove(firewall_rule("r")), with_rule),
        (Effect::UfwRuleInsert(ufw_rule(1, "10250")), ufw()),
        (Effect::UfwRuleDelete(ufw_rule(0, "22")), ufw()),
        (
            Effect::IptablesRuleInsert(iptables_rule(2, "-s 10.0.0.1/32 -j ACCEPT")),
            iptables(),
        ),
        (
            Effect::IptablesRuleDelete(iptables_rule(2, DROP)),
            iptables(),
        ),
        (
            Effect::ConfigMapSet {
                namespace: "kube-system".into(),
                name: "m".into(),
                key: "k".into(),
                value: "new".into(),
            },
            json!({ "data": { "k": "old" } }),
        ),
        (
            Effect::ConfigMapSet {
                namespace: "kube-system".into(),
                name: "m".into(),
                key: "added".into(),
                value: "new".into(),
            },
            json!({ "data": { "k": "old" } }),
        ),
        (
            Effect::NetworkProfileSet {
                cluster: "/c".into(),
                patch: json!({ "loadBalancerProfile": { "allocatedOutboundPorts": 4000 } }),
            },
            json!({ "properties": { "networkProfile": { "outboundType": "loadBalancer" } } }),
        ),
    ]
}

fn state(body: &Value) -> State {
    State {
        what: "the target".into(),
        answer: Ok(body.to_string()),
    }
}

#[test]
fn every_reversible_effect_and_its_inverse_do_nothing_the_second_time_and_restore() {
    for (effect, body) in reversible() {
        let kind = effect.kind();
        let before = state(&body);
        let forward = semantics(&effect);
        assert_eq!(
            forward.standing(&before).unwrap(),
            Standing::Ready,
            "{kind:?}"
        );
        let after = forward.simulate(&before).unwrap().state;
        assert_eq!(
            forward.standing(&after).unwrap(),
            Standing::InPlace,
            "{kind:?}"
        );
        assert_eq!(
            forward.outcome(&before, &after).unwrap(),
            Outcome::InPlace,
            "{kind:?}"
        );
        assert_eq!(
            forward.outcome(&before, &before).unwrap(),
            Outcome::Untouched,
            "{kind:?}"
        );
        let Inverse::Effect { effect: inverse } = forward.inverse(&before).unwrap() else {
            panic!("{kind:?} has no inverse");
        };
        let back = semantics(&inverse);
        assert_eq!(back.target(), forward.target(), "{kind:?}");
        assert_eq!(back.standing(&after).unwrap(), Standing::Ready, "{kind:?}");
        let restored = back.simulate(&after).unwrap().state;
        assert_eq!(
            back.standing(&restored).unwrap(),
            Standing::InPlace,
            "{kind:?}"
        );
        assert_eq!(
            forward.projection(&restored).unwrap(),
            forward.projection(&before).unwrap(),
            "{kind:?}"
        );
    }
}

#[test]
fn what_cannot_be_taken_back_says_why() {
    let pod = json!({ "metadata": { "uid": "1" }, "spec": { "nodeName": "a" } });
    let object = ObjectRef {
        api_version: "v1".into(),
        kind: "Pod".into(),
        namespace: "n".into(),
        name: "p".into(),
    };
    let effects = [
        Effect::PodEvict {
            namespace: "n".into(),
            name: "p".into(),
        },
        Effect::RolloutRestart {
            workload: "Deployment".into(),
            namespace: "n".into(),
            name: "d".into(),
        },
        Effect::ArmPatch {
            resource: "/r".into(),
            patch: json!({ "a": 1 }),
        },
        Effect::KubernetesPatch {
            object,
            patch: json!({ "a": 1 }),
        },
        Effect::Manual {
            instruction: "call".into(),
        },
    ];
    for effect in effects {
        let meaning = semantics(&effect);
        assert_eq!(meaning.standing(&state(&pod)).unwrap(), Standing::Ready);
        assert!(meaning.simulate(&state(&pod)).is_ok());
        let inverse = meaning.inverse(&state(&pod)).unwrap();
        assert!(matches!(inverse, Inverse::Irreversible { reason } if !reason.is_empty()));
    }
}
