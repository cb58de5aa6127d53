//! Every kind of effect and its inverse on the lab's real nodes, and its Azure and
//! Kubernetes: done once, refused on what was read before, nothing to do the second
//! time, taken back exactly, and then nothing left. A kind without a case does not
//! compile.

use std::time::Duration;

use naosu_engine::{
    Code,
    driver::{Effector as _, IdempotencyKey, Observer as _, PerformError},
    effect::{self, Standing, State},
    model::{
        ClusterId, Digest, Effect, EffectKind, Inverse, Observation,
        effect::{
            Access, Direction, FirewallRuleEffect, IpFamily, IptablesBackend, IptablesRuleEffect,
            NsgRule, UfwRuleEffect,
        },
        journal::Way,
        query::{FirewallRuleset, ObjectRef},
    },
};
use naosu_flow::iptables::NftChain;
use naosu_lab::{
    Lab, LabOptions, Scenario, builtin_scenario, estate::Subnet, lifecycle::DataPlaneChoice,
};
use naosu_server::drivers::{DriverConfig, Drivers};
use serde_json::{Value, json};

#[path = "effects_on_lab/someone_else.rs"]
mod someone_else;

/// Where ufw is on, with rules.
const UFW_NODE: &str = "aks-nodepool1-28341567-vmss000001";
/// Where it is not, so that only the chains are as they are.
const PLAIN_NODE: &str = "aks-nodepool1-28341567-vmss000002";
/// A chain of a person, in every ruleset of the plain node.
const OWN_CHAIN: &str = "HARDENING";

/// Where a rule of iptables stands.
type Chain = (IpFamily, IptablesBackend, &'static str);

const INPUT: Chain = (IpFamily::Ipv4, IptablesBackend::Nft, "INPUT");

/// The other rulesets, and chains of a person.
const OTHER_CHAINS: [Chain; 5] = [
    (IpFamily::Ipv4, IptablesBackend::Legacy, "INPUT"),
    (IpFamily::Ipv6, IptablesBackend::Nft, "INPUT"),
    (IpFamily::Ipv6, IptablesBackend::Legacy, "INPUT"),
    (IpFamily::Ipv4, IptablesBackend::Nft, OWN_CHAIN),
    (IpFamily::Ipv6, IptablesBackend::Legacy, OWN_CHAIN),
];

struct Bench {
    lab: Lab,
    drivers: Drivers,
    cluster: ClusterId,
}

/// An estate that has something for every kind.
fn estate() -> Scenario {
    let mut scenario = builtin_scenario("ufw-deny").unwrap();
    let firewalled = builtin_scenario("egress-firewall-tunnelfront").unwrap();
    scenario.estate.firewalls = firewalled.estate.firewalls;
    let of_firewall = |subnet: &&Subnet| subnet.name == "AzureFirewallSubnet";
    let subnets = &firewalled.estate.network.subnets;
    let subnet = subnets.iter().find(of_firewall).unwrap().clone();
    scenario.estate.network.subnets.push(subnet);
    let denied = builtin_scenario("nsg-deny-10250").unwrap();
    scenario.estate.network_security_groups = denied.estate.network_security_groups;
    scenario
}

/// An estate whose firewall has a policy.
fn estate_with_policy() -> Scenario {
    builtin_scenario("egress-firewall-policy-aks-link").unwrap()
}

impl Bench {
    /// A lab; `None` where it has no real nodes.
    async fn start() -> Option<Self> {
        Self::start_with(estate()).await
    }

    async fn start_with(estate: Scenario) -> Option<Self> {
        let bench = Self::on(estate, DataPlaneChoice::Auto).await;
        if let Some(reason) = bench.lab.simulated_because() {
            println!("skipped: no real nodes, {reason}");
            return None;
        }
        Some(bench)
    }

    async fn on(estate: Scenario, data_plane: DataPlaneChoice) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let options = LabOptions {
            data_plane,
            ..LabOptions::default()
        };
        let lab = Lab::start(estate, options).await.unwrap();
        let text = std::fs::read_to_string(lab.naosu_config_file()).unwrap();
        let config: DriverConfig = toml::from_str(&text).unwrap();
        Self {
            drivers: Drivers::connect(config).unwrap(),
            cluster: lab.cluster_id().parse().unwrap(),
            lab,
        }
    }

    async fn observe(&self, effect: &Effect) -> Observation {
        let query = effect::target(effect);
        let reading = self.drivers.observe(&self.cluster, &query).await;
        let (answer, version) = match reading {
            Ok(reading) => (Ok(reading.body), reading.version),
            Err(error) => (Err(error), None),
        };
        Observation {
            query,
            answer: answer.map(Into::into),
            version,
            observed_at: jiff::Timestamp::now(),
            digest: Digest::of_bytes(b""),
        }
    }

    /// What of the target decides whether it changed.
    async fn seen(&self, effect: &Effect) -> Digest {
        let state = State::of(&self.observe(effect).await);
        effect::state_digest(effect, &state).unwrap()
    }

    /// Whether there was nothing to do.
    async fn perform(&self, effect: &Effect, before: &Observation) -> Result<bool, PerformError> {
        let key = IdempotencyKey {
            plan: Digest::of_bytes(b"plan"),
            step: 0,
            way: Way::Forward,
            attempt: 1,
        };
        let performed = self.drivers.perform(&self.cluster, effect, before, &key);
        Ok(performed.await?.already_in_place)
    }

    /// Performs one that something else needs.
    async fn prepare(&self, effect: Effect) {
        let before = self.observe(&effect).await;
        assert!(!self.perform(&effect, &before).await.unwrap());
    }

    fn id_of(&self, resource_type: &str) -> String {
        let snapshot = self.lab.arm().snapshot();
        let found = snapshot.of_type(resource_type).next();
        found.unwrap()["id"].as_str().unwrap().to_owned()
    }

    /// What rules of a firewall are written to.
    fn firewall(&self) -> String {
        let groups = "Microsoft.Network/firewallPolicies/ruleCollectionGroups";
        let snapshot = self.lab.arm().snapshot();
        match snapshot.of_type(groups).next() {
            Some(group) => group["id"].as_str().unwrap().to_owned(),
            None => self.id_of("Microsoft.Network/azureFirewalls"),
        }
    }

    /// An effect of a kind that the lab is ready for.
    async fn effect(&self, kind: EffectKind) -> Effect {
        let nsg = || self.id_of("Microsoft.Network/networkSecurityGroups");
        match kind {
            EffectKind::NsgRuleCreate => Effect::NsgRuleCreate {
                nsg: nsg(),
                rule: nsg_rule("created", 210),
            },
            EffectKind::NsgRuleDelete => {
                let (nsg, rule) = (nsg(), nsg_rule("deleted", 220));
                self.prepare(Effect::NsgRuleCreate {
                    nsg: nsg.clone(),
                    rule: rule.clone(),
                })
                .await;
                Effect::NsgRuleDelete { nsg, rule }
            }
            EffectKind::NsgRulesReplace => Effect::NsgRulesReplace {
                nsg: nsg(),
                rules: vec![nsg_rule("replacing", 230), nsg_rule("another", 240)],
            },
            EffectKind::FirewallRuleAdd => Effect::FirewallRuleAdd(self.firewall_rule("tunnel")),
            EffectKind::FirewallRuleRemove => {
                let rule = self.firewall_rule("tunnel-for-now");
                self.prepare(Effect::FirewallRuleAdd(rule.clone())).await;
                Effect::FirewallRuleRemove(rule)
            }
            EffectKind::UfwRuleInsert => Effect::UfwRuleInsert(UfwRuleEffect {
                position: 1,
                access: Access::Allow,
                source: "10.224.0.0/16".to_owned(),
                ..ufw_rule()
            }),
            EffectKind::UfwRuleDelete => Effect::UfwRuleDelete(ufw_rule()),
            EffectKind::UfwEnable => {
                let node = UFW_NODE.to_owned();
                self.prepare(Effect::UfwDisable { node: node.clone() })
                    .await;
                Effect::UfwEnable { node }
            }
            EffectKind::UfwDisable => {
                let node = UFW_NODE.to_owned();
                let enable = Effect::UfwEnable { node: node.clone() };
                let before = self.observe(&enable).await;
                self.perform(&enable, &before).await.unwrap();
                Effect::UfwDisable { node }
            }
            EffectKind::IptablesRuleInsert => {
                Effect::IptablesRuleInsert(iptables_rule(INPUT, "ACCEPT"))
            }
            EffectKind::IptablesRuleDelete => {
                self.prepare(Effect::IptablesRuleInsert(iptables_rule(INPUT, "DROP")))
                    .await;
                Effect::IptablesRuleDelete(iptables_rule(INPUT, "DROP"))
            }
            EffectKind::PodEvict => {
                let pods = self.lab.kube().pods("kube-system", "k8s-app=kube-dns");
                Effect::PodEvict {
                    namespace: "kube-system".to_owned(),
                    name: pods[0]["metadata"]["name"].as_str().unwrap().to_owned(),
                }
            }
            EffectKind::RolloutRestart => Effect::RolloutRestart {
                workload: "Deployment".to_owned(),
                namespace: "kube-system".to_owned(),
                name: "coredns".to_owned(),
            },
            EffectKind::ConfigMapSet => Effect::ConfigMapSet {
                namespace: "kube-system".to_owned(),
                name: "konnectivity-agent-autoscaler".to_owned(),
                key: "ladder".to_owned(),
                value: "{\"nodesToReplicas\":[[1,4]]}".to_owned(),
            },
            EffectKind::NetworkProfileSet => Effect::NetworkProfileSet {
                cluster: self.lab.cluster_id(),
                patch: json!({ "loadBalancerProfile": { "allocatedOutboundPorts": 8000 } }),
            },
            EffectKind::ArmPatch => Effect::ArmPatch {
                resource: nsg(),
                patch: json!({ "tags": { "patched": "by Naosu" } }),
            },
            EffectKind::KubernetesPatch => Effect::KubernetesPatch {
                object: ObjectRef {
                    api_version: "apps/v1".to_owned(),
                    kind: "Deployment".to_owned(),
                    namespace: "kube-system".to_owned(),
                    name: "coredns".to_owned(),
                },
                patch: json!({ "metadata": { "labels": { "patched": "by-naosu" } } }),
            },
            EffectKind::Manual => Effect::Manual {
                instruction: "ask the network team".to_owned(),
            },
        }
    }

    /// What else a kind is performed on.
    async fn others(&self, kind: EffectKind) -> Vec<Effect> {
        let profile = |patch: Value| Effect::NetworkProfileSet {
            cluster: self.lab.cluster_id(),
            patch,
        };
        let mut others = Vec::new();
        match kind {
            EffectKind::IptablesRuleInsert => {
                on_node(self, PLAIN_NODE, &own_chains()).await;
                let rules = OTHER_CHAINS.map(|chain| iptables_rule(chain, "ACCEPT"));
                others.extend(rules.map(Effect::IptablesRuleInsert));
            }
            EffectKind::IptablesRuleDelete => {
                on_node(self, PLAIN_NODE, &own_chains()).await;
                for rule in OTHER_CHAINS.map(|chain| iptables_rule(chain, "DROP")) {
                    self.prepare(Effect::IptablesRuleInsert(rule.clone())).await;
                    others.push(Effect::IptablesRuleDelete(rule));
                }
            }
            EffectKind::NetworkProfileSet => {
                others.push(profile(json!({ "loadBalancerProfile": {
                    "allocatedOutboundPorts": 4000, "managedOutboundIPs": { "count": 3 },
                }})));
                others.push(profile(json!({
                    "outboundType": "managedNATGateway",
                    "loadBalancerProfile": null,
                    "natGatewayProfile": { "managedOutboundIPProfile": { "count": 2 } },
                })));
            }
            _ => {}
        }
        others
    }

    fn firewall_rule(&self, name: &str) -> FirewallRuleEffect {
        FirewallRuleEffect {
            resource: self.firewall(),
            collection: "aks-egress".to_owned(),
            collection_priority: 200,
            access: Access::Allow,
            name: name.to_owned(),
            protocols: vec!["TCP".to_owned()],
            source_addresses: vec!["10.224.0.0/16".to_owned()],
            destination_addresses: vec!["AzureCloud.westeurope".to_owned()],
            destination_ports: vec!["9000".to_owned()],
        }
    }
}

fn nsg_rule(name: &str, priority: u16) -> NsgRule {
    NsgRule {
        name: name.to_owned(),
        priority,
        direction: Direction::Inbound,
        access: Access::Allow,
        protocol: "Tcp".to_owned(),
        source_prefixes: vec!["10.224.0.4".to_owned()],
        source_ports: vec!["*".to_owned()],
        source_groups: vec![],
        destination_prefixes: vec!["10.224.0.5".to_owned(), "10.224.0.6".to_owned()],
        destination_ports: vec!["10250".to_owned()],
        destination_groups: vec![],
        description: "by Naosu, for a test".to_owned(),
    }
}

/// The rule of the scenario.
fn ufw_rule() -> UfwRuleEffect {
    UfwRuleEffect {
        node: UFW_NODE.to_owned(),
        position: 0,
        access: Access::Deny,
        direction: Direction::Inbound,
        protocol: "tcp".to_owned(),
        source: "any".to_owned(),
        destination: "any".to_owned(),
        port: "10250".to_owned(),
    }
}

fn iptables_rule((family, backend, chain): Chain, target: &str) -> IptablesRuleEffect {
    let source = match family {
        IpFamily::Ipv4 => "192.0.2.1/32",
        IpFamily::Ipv6 => "2001:db8::1/128",
    };
    IptablesRuleEffect {
        node: PLAIN_NODE.to_owned(),
        family,
        backend,
        table: "filter".to_owned(),
        chain: chain.to_owned(),
        specification: format!("-s {source} -p tcp -m tcp --dport 10250 -j {target}"),
        position: 1,
    }
}

/// Makes the chain of a person in every ruleset, where it is not there yet.
fn own_chains() -> String {
    let programs = "iptables-nft iptables-legacy ip6tables-nft ip6tables-legacy";
    format!(
        "for program in {programs}; do\n\
            $program -n -L {OWN_CHAIN} >/dev/null 2>&1 && continue\n\
            $program -N {OWN_CHAIN} && $program -A INPUT -j {OWN_CHAIN} || exit 1\n\
        done\n"
    )
}

/// Done twice, and taken back twice.
async fn walk(bench: &Bench, effect: &Effect) {
    let kind = effect.kind();
    let before = bench.observe(effect).await;
    let untouched = bench.seen(effect).await;
    let ready = effect::standing(effect, &before).unwrap();
    assert_eq!(ready, Standing::Ready, "{kind:?}");
    let already = bench.perform(effect, &before).await;
    assert!(!already.unwrap_or_else(|e| panic!("{kind:?}: {e}")));
    let done = bench.seen(effect).await;
    assert_ne!(done, untouched, "{kind:?}");
    require_nothing_done(bench, effect, &before, &done).await;
    let after = bench.observe(effect).await;
    let already = bench.perform(effect, &after).await;
    assert!(already.unwrap_or_else(|e| panic!("{kind:?}: {e}")));
    assert_eq!(bench.seen(effect).await, done, "{kind:?}");
    let Inverse::Effect { effect: inverse } = effect::inverse(effect, &before).unwrap() else {
        return;
    };
    let already = bench.perform(&inverse, &after).await;
    assert!(!already.unwrap_or_else(|e| panic!("{kind:?}: {e}")));
    assert_eq!(bench.seen(effect).await, untouched, "{kind:?}");
    require_nothing_done(bench, &inverse, &after, &bench.seen(&inverse).await).await;
    let restored = bench.observe(&inverse).await;
    let already = bench.perform(&inverse, &restored).await;
    assert!(already.unwrap_or_else(|e| panic!("{kind:?}: {e}")));
    assert_eq!(bench.seen(effect).await, untouched, "{kind:?}");
}

/// On what was read before it, an effect that is done is refused, or found done.
async fn require_nothing_done(bench: &Bench, effect: &Effect, stale: &Observation, now: &Digest) {
    let kind = effect.kind();
    match bench.perform(effect, stale).await {
        Ok(already) => assert!(already, "{kind:?} was done twice"),
        Err(PerformError::NotApplied(_)) => {}
        Err(PerformError::Unknown(error)) => panic!("{kind:?}: {error}"),
    }
    assert_eq!(&bench.seen(effect).await, now, "{kind:?}");
}

/// What an effect acts on. Each has a lab of its own, so that they are shown side by
/// side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Azure,
    Kubernetes,
    UfwRules,
    UfwSwitch,
    Iptables,
    /// A person acts.
    Nowhere,
}

fn place(kind: EffectKind) -> Place {
    match kind {
        EffectKind::NsgRuleCreate
        | EffectKind::NsgRuleDelete
        | EffectKind::NsgRulesReplace
        | EffectKind::FirewallRuleAdd
        | EffectKind::FirewallRuleRemove
        | EffectKind::NetworkProfileSet
        | EffectKind::ArmPatch => Place::Azure,
        EffectKind::PodEvict
        | EffectKind::RolloutRestart
        | EffectKind::ConfigMapSet
        | EffectKind::KubernetesPatch => Place::Kubernetes,
        EffectKind::UfwRuleInsert | EffectKind::UfwRuleDelete => Place::UfwRules,
        EffectKind::UfwEnable | EffectKind::UfwDisable => Place::UfwSwitch,
        EffectKind::IptablesRuleInsert | EffectKind::IptablesRuleDelete => Place::Iptables,
        EffectKind::Manual => Place::Nowhere,
    }
}

async fn walk_all(wanted: Place) {
    let Some(bench) = Bench::start().await else {
        return;
    };
    let all = EffectKind::ALL.iter();
    for kind in all.filter(|kind| place(**kind) == wanted) {
        walk_kind(&bench, *kind).await;
    }
}

/// A lab for one kind alone.
async fn walk_one(kind: EffectKind) {
    let Some(bench) = Bench::start().await else {
        return;
    };
    walk_kind(&bench, kind).await;
}

async fn walk_kind(bench: &Bench, kind: EffectKind) {
    let mut effects = vec![bench.effect(kind).await];
    effects.extend(bench.others(kind).await);
    for effect in effects {
        assert_eq!(effect.kind(), kind);
        println!("{effect:?}");
        in_time(kind, walk(bench, &effect)).await;
    }
}

/// Against a hang alone: ufw is slow where much else runs.
async fn in_time(kind: EffectKind, work: impl Future<Output = ()>) {
    tokio::time::timeout(Duration::from_secs(140), work)
        .await
        .unwrap_or_else(|_| panic!("{kind:?} takes too long"));
}

const OF_FIREWALLS: [EffectKind; 2] = [EffectKind::FirewallRuleAdd, EffectKind::FirewallRuleRemove];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_of_a_firewall_policy_are_done_once_and_taken_back_once() {
    let Some(bench) = Bench::start_with(estate_with_policy()).await else {
        return;
    };
    assert!(bench.firewall().contains("/ruleCollectionGroups/"));
    for kind in OF_FIREWALLS {
        walk_kind(&bench, kind).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_on_azure_is_done_once_and_taken_back_once() {
    walk_all(Place::Azure).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_on_kubernetes_is_done_once_and_taken_back_once() {
    walk_all(Place::Kubernetes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_rule_of_ufw_is_done_once_and_taken_back_once_on_a_real_node() {
    walk_all(Place::UfwRules).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ufw_is_switched_once_and_back_once_on_a_real_node() {
    walk_all(Place::UfwSwitch).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_are_inserted_once_and_taken_back_once_in_every_ruleset_of_a_real_node() {
    walk_one(EffectKind::IptablesRuleInsert).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_are_deleted_once_and_put_back_once_in_every_ruleset_of_a_real_node() {
    walk_one(EffectKind::IptablesRuleDelete).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_person_does_naosu_does_not() {
    // No node takes part in it.
    let bench = Bench::on(estate(), DataPlaneChoice::Simulated).await;
    let effect = bench.effect(EffectKind::Manual).await;
    let before = bench.observe(&effect).await;
    let refused = bench.perform(&effect, &before).await.unwrap_err();
    assert!(matches!(refused, PerformError::NotApplied(e) if e.code == Code::Unsupported));
}

/// Naosu's own writes name what they change, and nothing else of the resource.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_effect_does_not_name_stays_as_it_was() {
    let Some(bench) = Bench::start().await else {
        return;
    };
    for kind in [EffectKind::NsgRuleCreate, EffectKind::ArmPatch] {
        let effect = bench.effect(kind).await;
        let read = async || -> Value {
            let body = bench.observe(&effect).await.answer.unwrap();
            serde_json::from_str(&body).unwrap()
        };
        let before = read().await;
        let observed = bench.observe(&effect).await;
        assert!(!bench.perform(&effect, &observed).await.unwrap());
        let after = read().await;
        for field in ["id", "name", "location", "type"] {
            assert_eq!(before[field], after[field], "{kind:?} {field}");
        }
        let rules = |body: &Value| {
            body["properties"]["securityRules"]
                .as_array()
                .unwrap()
                .len()
        };
        let more = usize::from(kind == EffectKind::NsgRuleCreate);
        assert_eq!(rules(&before) + more, rules(&after), "{kind:?}");
    }
}

/// Everything on a node that an effect there could change. Without counters, which
/// packets change.
async fn firewall_of(bench: &Bench, node: &str) -> String {
    let script = "\
        find /etc/ufw /etc/default/ufw -type f -exec sha256sum {} + | sort\n\
        cat /etc/ufw/ufw.conf\n\
        for program in iptables-nft ip6tables-nft iptables-legacy ip6tables-legacy; do\n\
            echo \"$program\"\n\
            $program-save | grep -v '^#' | sed 's/\\[[0-9:]*\\]//'\n\
        done\n\
        nft list tables\n\
        find /run/naosu.d -mindepth 1 2>/dev/null || true\n";
    on_node(bench, node, script).await
}

async fn on_node(bench: &Bench, node: &str, script: &str) -> String {
    let plane = bench.lab.data_plane();
    let output = plane.run_on_node(&node.into(), script).await.unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.exit_code, 0, "{errors}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_of_any_kind_leaves_the_node_as_it_was_to_the_byte() {
    let Some(bench) = Bench::start().await else {
        return;
    };
    let all = EffectKind::ALL.iter();
    for kind in all.filter(|kind| {
        matches!(
            place(**kind),
            Place::UfwRules | Place::UfwSwitch | Place::Iptables
        )
    }) {
        let effect = bench.effect(*kind).await;
        let before = bench.observe(&effect).await;
        let (ufw, plain) = (
            firewall_of(&bench, UFW_NODE).await,
            firewall_of(&bench, PLAIN_NODE).await,
        );
        assert!(ufw.contains("ENABLED=") && ufw.contains("-A "), "{ufw}");
        let shown = bench
            .drivers
            .dry_run(&bench.cluster, &effect, &before)
            .await;
        let shown = shown.unwrap().unwrap();
        assert_eq!(shown.by, "system", "{kind:?}");
        assert_eq!(firewall_of(&bench, UFW_NODE).await, ufw, "{kind:?}");
        assert_eq!(firewall_of(&bench, PLAIN_NODE).await, plain, "{kind:?}");
    }
}

/// Where the kernel forbids a node to show a program other files, nothing is tried.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_place_to_try_it_ufw_is_not_asked_to_try() {
    let Some(bench) = Bench::start().await else {
        return;
    };
    let effect = bench.effect(EffectKind::UfwDisable).await;
    let before = bench.observe(&effect).await;
    let refusing = "printf '#!/bin/sh\\necho unshare: not permitted >&2\\nexit 1\\n' \
        >/run/unshare && chmod 755 /run/unshare && mount --bind /run/unshare /usr/bin/unshare";
    on_node(&bench, UFW_NODE, refusing).await;
    let untouched = firewall_of(&bench, UFW_NODE).await;
    let shown = bench
        .drivers
        .dry_run(&bench.cluster, &effect, &before)
        .await;
    assert_eq!(shown.unwrap(), None);
    assert_eq!(firewall_of(&bench, UFW_NODE).await, untouched);
}

/// By its file ufw decides whether a rule goes to the kernel as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_that_would_not_reach_the_kernel_is_refused() {
    let Some(bench) = Bench::start().await else {
        return;
    };
    let effect = bench.effect(EffectKind::UfwRuleInsert).await;
    let before = bench.observe(&effect).await;
    let on_and_off =
        |word: &str| format!("sed -i 's/^ENABLED=.*/ENABLED={word}/' /etc/ufw/ufw.conf");
    let chain = "ufw-user-input -s 192.0.2.1 -j DROP";
    for (spoil, repair) in [
        (on_and_off("no"), on_and_off("yes")),
        (
            format!("iptables -A {chain}"),
            format!("iptables -D {chain}"),
        ),
    ] {
        on_node(&bench, UFW_NODE, &spoil).await;
        let untouched = firewall_of(&bench, UFW_NODE).await;
        let refused = bench.perform(&effect, &before).await.unwrap_err();
        assert!(
            matches!(&refused, PerformError::NotApplied(e) if e.code == Code::NodeCommandFailed),
            "{spoil}: {refused:?}"
        );
        let shown = bench
            .drivers
            .dry_run(&bench.cluster, &effect, &before)
            .await;
        assert!(shown.is_err(), "{spoil}");
        assert_eq!(firewall_of(&bench, UFW_NODE).await, untouched, "{spoil}");
        on_node(&bench, UFW_NODE, &repair).await;
    }
    assert!(!bench.perform(&effect, &before).await.unwrap());
    let rules = on_node(&bench, UFW_NODE, "iptables -S ufw-user-input").await;
    assert!(
        rules.contains("-s 10.224.0.0/16 -p tcp -m tcp --dport 10250 -j ACCEPT"),
        "{rules}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_that_iptables_does_not_show_are_observed_with_what_may_drop_in_them() {
    let Some(bench) = Bench::start().await else {
        return;
    };
    let table = "printf 'table inet fw {\\nchain in {\\n\
        type filter hook input priority 5; policy accept;\\n\
        tcp dport 10251 drop\\n}\\n}\\n\
        table inet other {\\nmap verdicts {\\ntype inet_service : verdict\\n\
        elements = { 10251 : drop }\\n}\\nchain out {\\n\
        type nat hook output priority -100; policy accept;\\n\
        tcp dport vmap @verdicts\\n}\\n}\\n\
        table inet masks {\\nchain out {\\n\
        type nat hook postrouting priority 100; policy accept;\\n\
        ip saddr 192.0.2.1 masquerade comment \"no drop\"\\n}\\n}\\n' | nft -f -";
    on_node(&bench, PLAIN_NODE, table).await;
    let ruleset = ruleset_of_plain_node(&bench).await;
    let chains = [
        "inet fw in filter input accept 1 1",
        "inet other out nat output accept 1 1",
        "inet masks out nat postrouting accept 1 0",
    ];
    let chains = chains.map(|line| NftChain::from_line(line).unwrap());
    assert_eq!(ruleset.nft_chains, Some(chains.to_vec()));
    assert!(!ruleset.nft_unlisted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_of_iptables_without_a_program_that_saves_them_are_told_as_those_of_nft() {
    let Some(bench) = Bench::start().await else {
        return;
    };
    let without = |program: &str| {
        format!("mount --bind /dev/null \"$(readlink -f \"$(command -v {program})\")\"")
    };
    let rule = "iptables-nft -A INPUT -p tcp -m tcp --dport 10251 -j DROP";
    on_node(&bench, PLAIN_NODE, rule).await;
    on_node(&bench, PLAIN_NODE, &without("iptables-nft-save")).await;
    let ruleset = ruleset_of_plain_node(&bench).await;
    assert_eq!(ruleset.ipv4_nft, None);
    let chains = ruleset.nft_chains.unwrap();
    let mut of_filter = chains.iter().filter(|chain| chain.table == "filter");
    assert!(
        of_filter.any(|chain| chain.family == "ip" && chain.hook == "input" && chain.may_drop()),
        "{chains:?}"
    );
    // And without nft, nothing tells which tables there are.
    on_node(&bench, PLAIN_NODE, &without("nft")).await;
    let ruleset = ruleset_of_plain_node(&bench).await;
    assert_eq!((ruleset.nft_chains, ruleset.nft_unlisted), (None, true));
}

async fn ruleset_of_plain_node(bench: &Bench) -> FirewallRuleset {
    let effect = Effect::IptablesRuleInsert(iptables_rule(INPUT, "ACCEPT"));
    let read = bench.observe(&effect).await.answer.unwrap();
    serde_json::from_str(&read).unwrap()
}
