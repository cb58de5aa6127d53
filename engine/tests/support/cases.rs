//! For every kind of effect something that it can be performed on, and what
//! someone else may do to that in between. A kind without a case does not compile.

use naosu_engine::{
    effect,
    model::{
        Effect, EffectKind, Query,
        effect::{
            Access, Direction, FirewallRuleEffect, IpFamily, IptablesBackend, IptablesRuleEffect,
            NsgRule, UfwRuleEffect,
        },
        query::{FirewallRuleset, ObjectRef, UfwStatus},
    },
};
use serde_json::{Value, json};

mod variants;

/// One effect on something.
pub struct Case {
    pub effect: Effect,
    /// Its target before.
    pub before: Value,
    /// What a ufw that is off shows when it is on.
    pub switched_on: Option<Value>,
    /// What someone else may do to the target after the effect.
    pub between: Vec<Between>,
}

/// Someone else's change.
pub struct Between {
    pub what: &'static str,
    pub change: fn(&mut Value),
    pub then: Then,
}

/// What taking the effect back comes to after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// It would undo theirs: nothing is written, a person must look.
    Stuck,
    /// It is undone already: nothing is written.
    NothingLeft,
    /// It is undone, and theirs stays: this text is in the target still.
    Beside(&'static str),
}

impl Case {
    pub fn target(&self) -> Query {
        effect::target(&self.effect)
    }

    fn of(effect: Effect, before: Value) -> Self {
        Self {
            effect,
            before,
            switched_on: None,
            between: Vec::new(),
        }
    }

    fn and(mut self, what: &'static str, then: Then, change: fn(&mut Value)) -> Self {
        self.between.push(Between { what, change, then });
        self
    }
}

/// All cases of a kind: [`case`], and what else it can be performed on.
pub fn cases(kind: EffectKind) -> Vec<Case> {
    let mut cases = vec![case(kind)];
    cases.extend(variants::of(kind));
    cases
}

/// The case of a kind.
pub fn case(kind: EffectKind) -> Case {
    match kind {
        EffectKind::NsgRuleCreate => Case::of(
            Effect::NsgRuleCreate {
                nsg: nsg_id("create"),
                rule: nsg_rule("ours", 200),
            },
            nsg(&[nsg_rule("old", 300)]),
        )
        .and("changes the rule", Then::Stuck, |nsg| {
            of_nsg_rule(nsg, "ours")["sourceAddressPrefix"] = json!("10.0.0.0/8");
        })
        .and("deletes the rule", Then::NothingLeft, |nsg| {
            nsg_rules(nsg).retain(|rule| rule["name"] != "ours");
        })
        .and("adds another", Then::Beside("theirs"), |nsg| {
            nsg_rules(nsg).push(nsg_rule("theirs", 400).to_arm().unwrap());
        }),
        EffectKind::NsgRuleDelete => Case::of(
            Effect::NsgRuleDelete {
                nsg: nsg_id("delete"),
                rule: nsg_rule("old", 300),
            },
            nsg(&[nsg_rule("old", 300), nsg_rule("kept", 310)]),
        )
        .and("takes its name", Then::Stuck, |nsg| {
            nsg_rules(nsg).push(nsg_rule("old", 350).to_arm().unwrap());
        })
        .and("takes its priority", Then::Stuck, |nsg| {
            nsg_rules(nsg).push(nsg_rule("theirs", 300).to_arm().unwrap());
        })
        .and("adds another", Then::Beside("theirs"), |nsg| {
            nsg_rules(nsg).push(nsg_rule("theirs", 400).to_arm().unwrap());
        }),
        EffectKind::NsgRulesReplace => Case::of(
            Effect::NsgRulesReplace {
                nsg: nsg_id("replace"),
                rules: vec![nsg_rule("old", 310)],
            },
            nsg(&[nsg_rule("old", 300)]),
        )
        .and("adds a rule", Then::Stuck, |nsg| {
            nsg_rules(nsg).push(nsg_rule("theirs", 400).to_arm().unwrap());
        }),
        EffectKind::FirewallRuleAdd => Case::of(
            Effect::FirewallRuleAdd(firewall_rule("add", "ours")),
            firewall(&[]),
        )
        .and("changes the rule", Then::Stuck, |firewall| {
            firewall_rules(firewall)[0]["destinationPorts"] = json!(["1-65535"]);
        })
        .and("deletes the collection", Then::NothingLeft, |firewall| {
            firewall["properties"]["networkRuleCollections"] = json!([]);
        })
        .and("adds another", Then::Beside("theirs"), |firewall| {
            let mut theirs = firewall_rules(firewall)[0].clone();
            theirs["name"] = json!("theirs");
            firewall_rules(firewall).push(theirs);
        }),
        EffectKind::FirewallRuleRemove => Case::of(
            Effect::FirewallRuleRemove(firewall_rule("remove", "old")),
            // In a collection order means nothing; what comes back comes last.
            firewall(&["kept", "old"]),
        )
        .and("takes its name", Then::Stuck, |firewall| {
            let mut theirs = firewall_rules(firewall)[0].clone();
            theirs["name"] = json!("old");
            theirs["destinationPorts"] = json!(["22"]);
            firewall_rules(firewall).push(theirs);
        })
        .and("adds another", Then::Beside("theirs"), |firewall| {
            let mut theirs = firewall_rules(firewall)[0].clone();
            theirs["name"] = json!("theirs");
            firewall_rules(firewall).push(theirs);
        }),
        EffectKind::UfwRuleInsert => Case::of(
            Effect::UfwRuleInsert(ufw_rule("ufw-insert", 1, "10250")),
            ufw(UFW_RULES),
        )
        .and("switches it off", Then::Stuck, |status| {
            *status = ufw_off();
        })
        .and("deletes the rule", Then::NothingLeft, |status| {
            *status = ufw(UFW_RULES);
        })
        .and("adds another", Then::Beside("443/tcp"), |status| {
            add_ufw_rule(status, "[ 4] 443/tcp  ALLOW IN  Anywhere\n");
        }),
        EffectKind::UfwRuleDelete => Case::of(
            Effect::UfwRuleDelete(ufw_rule("ufw-delete", 0, "22")),
            ufw(UFW_RULES),
        )
        .and("switches it off", Then::Stuck, |status| {
            *status = ufw_off();
        })
        .and("adds it again", Then::NothingLeft, |status| {
            *status = ufw(UFW_RULES);
        })
        .and("adds another", Then::Beside("443/tcp"), |status| {
            add_ufw_rule(status, "[ 2] 443/tcp  ALLOW IN  Anywhere\n");
        }),
        EffectKind::UfwEnable => Case {
            switched_on: Some(ufw(UFW_RULES)),
            ..Case::of(
                Effect::UfwEnable {
                    node: "ufw-enable".into(),
                },
                ufw_off(),
            )
        }
        .and("switches it off", Then::NothingLeft, |status| {
            *status = ufw_off();
        }),
        EffectKind::UfwDisable => Case::of(
            Effect::UfwDisable {
                node: "ufw-disable".into(),
            },
            ufw(UFW_RULES),
        )
        .and("switches it on", Then::NothingLeft, |status| {
            *status = ufw(UFW_RULES);
        })
        .and(
            "edits the rules that it does not list",
            Then::Stuck,
            |status| {
                status["files"] = json!("another digest");
            },
        ),
        EffectKind::IptablesRuleInsert => Case::of(
            Effect::IptablesRuleInsert(iptables_rule("ipt-insert", 2, "-s 10.0.0.1/32 -j ACCEPT")),
            iptables(),
        )
        .and("inserts before it", Then::Stuck, insert_first)
        .and("deletes it", Then::NothingLeft, |ruleset| {
            *ruleset = iptables();
        }),
        EffectKind::IptablesRuleDelete => Case::of(
            Effect::IptablesRuleDelete(iptables_rule("ipt-delete", 2, DROP)),
            iptables(),
        )
        .and("inserts before it", Then::Stuck, insert_first)
        .and("inserts it again", Then::NothingLeft, |ruleset| {
            *ruleset = iptables();
        }),
        EffectKind::PodEvict => Case::of(
            Effect::PodEvict {
                namespace: "kube-system".into(),
                name: "agent-1".into(),
            },
            json!({ "metadata": { "uid": "1" }, "spec": { "nodeName": "a" } }),
        ),
        EffectKind::RolloutRestart => Case::of(
            Effect::RolloutRestart {
                workload: "Deployment".into(),
                namespace: "kube-system".into(),
                name: "agent".into(),
            },
            json!({ "metadata": {}, "spec": { "template": { "metadata": {}, "spec": {} } } }),
        ),
        EffectKind::ConfigMapSet => Case::of(
            Effect::ConfigMapSet {
                namespace: "kube-system".into(),
                name: "ladder".into(),
                key: "k".into(),
                value: "ours".into(),
            },
            json!({ "data": { "k": "old" } }),
        )
        .and("sets the key", Then::Stuck, |map| {
            map["data"]["k"] = json!("theirs");
        })
        .and("puts it back", Then::NothingLeft, |map| {
            map["data"]["k"] = json!("old");
        })
        .and("sets another key", Then::Beside("theirs"), |map| {
            map["data"]["other"] = json!("theirs");
        }),
        EffectKind::NetworkProfileSet => Case::of(
            Effect::NetworkProfileSet {
                cluster: resource("profile"),
                patch: json!({ "loadBalancerProfile": { "allocatedOutboundPorts": 4000 } }),
            },
            json!({ "properties": {
                "provisioningState": "Succeeded",
                "networkProfile": {
                    "outboundType": "loadBalancer",
                    "loadBalancerProfile": { "allocatedOutboundPorts": 0 },
                },
            }}),
        )
        .and("sets the ports", Then::Stuck, |cluster| {
            let profile = &mut cluster["properties"]["networkProfile"]["loadBalancerProfile"];
            profile["allocatedOutboundPorts"] = json!(8000);
        })
        .and(
            "sets the idle time",
            Then::Beside("idleTimeoutInMinutes"),
            |cluster| {
                let profile = &mut cluster["properties"]["networkProfile"]["loadBalancerProfile"];
                profile["idleTimeoutInMinutes"] = json!(4);
            },
        )
        .and("works on the cluster", Then::Stuck, |cluster| {
            cluster["properties"]["provisioningState"] = json!("Updating");
            cluster["properties"]["networkProfile"]["networkPolicy"] = json!("theirs");
        }),
        EffectKind::ArmPatch => Case::of(
            Effect::ArmPatch {
                resource: resource("patched"),
                patch: json!({ "tags": { "a": "ours" } }),
            },
            json!({ "tags": { "a": "old" } }),
        ),
        EffectKind::KubernetesPatch => Case::of(
            Effect::KubernetesPatch {
                object: ObjectRef {
                    api_version: "v1".into(),
                    kind: "Service".into(),
                    namespace: "n".into(),
                    name: "s".into(),
                },
                patch: json!({ "metadata": { "labels": { "a": "ours" } } }),
            },
            json!({ "metadata": { "labels": { "a": "old" } } }),
        ),
        EffectKind::Manual => Case::of(
            Effect::Manual {
                instruction: "ask the network team".into(),
            },
            json!([{ "metadata": { "name": "node-0" } }]),
        ),
    }
}

fn resource(name: &str) -> String {
    format!("/subscriptions/s/resourceGroups/net/providers/Microsoft.X/things/{name}")
}

fn nsg_id(name: &str) -> String {
    super::world::nsg(name)
}

fn nsg_rule(name: &str, priority: u16) -> NsgRule {
    NsgRule {
        name: name.into(),
        priority,
        description: String::new(),
        source_prefixes: vec!["10.224.0.0/16".into()],
        ..super::plugin::allow_rule()
    }
}

fn nsg(rules: &[NsgRule]) -> Value {
    let rules: Vec<Value> = rules.iter().map(|rule| rule.to_arm().unwrap()).collect();
    json!({ "name": "n", "id": "/n", "properties": { "securityRules": rules } })
}

fn nsg_rules(nsg: &mut Value) -> &mut Vec<Value> {
    nsg["properties"]["securityRules"].as_array_mut().unwrap()
}

fn of_nsg_rule<'a>(nsg: &'a mut Value, name: &str) -> &'a mut Value {
    let mut rules = nsg_rules(nsg).iter_mut();
    let rule = rules.find(|rule| rule["name"] == name).unwrap();
    &mut rule["properties"]
}

fn firewall_rule(firewall: &str, name: &str) -> FirewallRuleEffect {
    FirewallRuleEffect {
        resource: resource(firewall),
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

fn firewall(rules: &[&str]) -> Value {
    let rule = |name: &&str| {
        json!({
            "name": name, "protocols": ["TCP"], "sourceAddresses": ["10.224.0.0/16"],
            "destinationAddresses": ["AzureCloud.westeurope"], "destinationPorts": ["9000"],
        })
    };
    let collections = if rules.is_empty() {
        json!([])
    } else {
        json!([{ "name": "tunnel", "properties": {
            "priority": 200, "action": { "type": "Allow" },
            "rules": rules.iter().map(rule).collect::<Vec<_>>(),
        }}])
    };
    json!({ "properties": { "networkRuleCollections": collections } })
}

fn firewall_rules(firewall: &mut Value) -> &mut Vec<Value> {
    let collections = &mut firewall["properties"]["networkRuleCollections"];
    let rules = &mut collections[0]["properties"]["rules"];
    rules.as_array_mut().unwrap()
}

fn ufw_rule(node: &str, position: u32, port: &str) -> UfwRuleEffect {
    UfwRuleEffect {
        node: node.into(),
        position,
        access: Access::Allow,
        direction: Direction::Inbound,
        protocol: "tcp".into(),
        source: "10.224.0.0/16".into(),
        destination: "any".into(),
        port: port.into(),
    }
}

const UFW_RULES: &str = "[ 1] 10250/tcp  DENY IN  Anywhere\n[ 2] 22/tcp  ALLOW IN  10.224.0.0/16\n";

fn ufw(rules: &str) -> Value {
    json!(UfwStatus {
        installed: true,
        verbose: "Status: active\nDefault: deny (incoming)\n".into(),
        numbered: format!("Status: active\n\n{rules}"),
        settings: String::new(),
        files: "a digest".into(),
    })
}

fn ufw_off() -> Value {
    json!(UfwStatus {
        installed: true,
        verbose: "Status: inactive\n".into(),
        numbered: "Status: inactive\n".into(),
        settings: String::new(),
        files: "a digest".into(),
    })
}

fn add_ufw_rule(status: &mut Value, line: &str) {
    let shown = status["numbered"].as_str().unwrap().to_owned();
    status["numbered"] = json!(shown + line);
}

fn iptables_rule(node: &str, position: u32, specification: &str) -> IptablesRuleEffect {
    IptablesRuleEffect {
        node: node.into(),
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

fn insert_first(ruleset: &mut Value) {
    let dump = ruleset["ipv4_nft"].as_str().unwrap();
    let theirs = "-A INPUT -s 192.0.2.1/32 -j ACCEPT\n[7:9]";
    ruleset["ipv4_nft"] = json!(dump.replacen("[7:9]", theirs, 1));
}
