//! Someone else writes between an effect and its inverse: what they wrote stays,
//! whether the inverse is performed beside it or refused.

use naosu_engine::effect::Back;

use super::*;

/// What someone else does to the target of an effect.
enum Theirs {
    /// An effect of the kinds that Naosu knows.
    Effect(Effect),
    /// Commands on a node, and those that succeed as long as it is there.
    OnNode {
        node: &'static str,
        write: String,
        is_there: String,
    },
}

/// What the inverse comes to then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// It is performed and leaves theirs.
    Beside,
    /// It would undo theirs, so a person must look.
    Stuck,
}

/// A change between the effect and its inverse; nothing where the effect has no
/// inverse.
fn theirs(effect: &Effect) -> Option<(Theirs, Then)> {
    let ours = effect.kind();
    Some(match effect {
        Effect::NsgRuleCreate { nsg, .. } => (beside_in(nsg, ours, 4000), Then::Beside),
        // Where the deleted rule was.
        Effect::NsgRuleDelete { nsg, rule } => (beside_in(nsg, ours, rule.priority), Then::Stuck),
        Effect::NsgRulesReplace { nsg, .. } => (beside_in(nsg, ours, 4001), Then::Stuck),
        Effect::FirewallRuleAdd(rule) | Effect::FirewallRuleRemove(rule) => {
            let theirs = FirewallRuleEffect {
                name: format!("theirs-beside-{ours:?}"),
                destination_ports: vec!["8443".to_owned()],
                ..rule.clone()
            };
            (
                Theirs::Effect(Effect::FirewallRuleAdd(theirs)),
                Then::Beside,
            )
        }
        Effect::UfwRuleInsert(_) => (a_port_of_ufw(8441), Then::Beside),
        Effect::UfwRuleDelete(_) => (a_port_of_ufw(8442), Then::Beside),
        // Off again, ufw keeps their rule for when it is on.
        Effect::UfwEnable { .. } => (a_port_of_ufw(8443), Then::Beside),
        // On again, it would set theirs in force.
        Effect::UfwDisable { .. } => (a_port_of_ufw(8444), Then::Stuck),
        Effect::IptablesRuleInsert(rule) | Effect::IptablesRuleDelete(rule) => {
            (before_in_chain(rule), Then::Stuck)
        }
        Effect::ConfigMapSet {
            namespace, name, ..
        } => {
            let theirs = Effect::ConfigMapSet {
                namespace: namespace.clone(),
                name: name.clone(),
                key: "theirs".to_owned(),
                value: "kept".to_owned(),
            };
            (Theirs::Effect(theirs), Then::Beside)
        }
        Effect::NetworkProfileSet { cluster, patch } => {
            // What the effect made goes as a whole.
            let (profile, then) = match patch.get("natGatewayProfile") {
                Some(_) => ("natGatewayProfile", Then::Stuck),
                None => ("loadBalancerProfile", Then::Beside),
            };
            // Another for each of them, so that it is always a change.
            let has_addresses = patch.pointer("/loadBalancerProfile/managedOutboundIPs");
            let minutes = if has_addresses.is_some() { 50 } else { 40 };
            let theirs = Effect::NetworkProfileSet {
                cluster: cluster.clone(),
                patch: json!({ profile: { "idleTimeoutInMinutes": minutes } }),
            };
            (Theirs::Effect(theirs), then)
        }
        Effect::PodEvict { .. }
        | Effect::RolloutRestart { .. }
        | Effect::ArmPatch { .. }
        | Effect::KubernetesPatch { .. }
        | Effect::Manual { .. } => return None,
    })
}

fn beside_in(nsg: &str, ours: EffectKind, priority: u16) -> Theirs {
    Theirs::Effect(Effect::NsgRuleCreate {
        nsg: nsg.to_owned(),
        rule: nsg_rule(&format!("theirs-beside-{ours:?}"), priority),
    })
}

fn a_port_of_ufw(port: u16) -> Theirs {
    Theirs::OnNode {
        node: UFW_NODE,
        write: format!("ufw allow {port}/tcp"),
        is_there: format!("grep -q -- '--dport {port} -j ACCEPT' /etc/ufw/user.rules"),
    }
}

fn before_in_chain(rule: &IptablesRuleEffect) -> Theirs {
    let program = match (rule.family, rule.backend) {
        (IpFamily::Ipv4, IptablesBackend::Nft) => "iptables-nft",
        (IpFamily::Ipv4, IptablesBackend::Legacy) => "iptables-legacy",
        (IpFamily::Ipv6, IptablesBackend::Nft) => "ip6tables-nft",
        (IpFamily::Ipv6, IptablesBackend::Legacy) => "ip6tables-legacy",
    };
    let (chain, theirs) = (&rule.chain, "-p udp --dport 8443 -j ACCEPT");
    Theirs::OnNode {
        node: PLAIN_NODE,
        write: format!("{program} -w -I {chain} 1 {theirs}"),
        is_there: format!("{program} -w -C {chain} {theirs}"),
    }
}

impl Theirs {
    async fn write(&self, bench: &Bench) {
        match self {
            Self::Effect(effect) => bench.prepare(effect.clone()).await,
            Self::OnNode { node, write, .. } => drop(on_node(bench, node, write).await),
        }
    }

    async fn require_there(&self, bench: &Bench) {
        match self {
            Self::Effect(effect) => {
                let now = bench.observe(effect).await;
                let standing = effect::standing(effect, &now).unwrap();
                assert_eq!(standing, Standing::InPlace, "{effect:?} is gone");
            }
            // Fails where it does not succeed.
            Self::OnNode { node, is_there, .. } => drop(on_node(bench, node, is_there).await),
        }
    }
}

async fn meet(bench: &Bench, effect: &Effect) {
    let before = bench.observe(effect).await;
    let inverse = effect::inverse(effect, &before).unwrap();
    let (inverse, (theirs, then)) = match (inverse, theirs(effect)) {
        (Inverse::Effect { effect: inverse }, Some(theirs)) => (inverse, theirs),
        (Inverse::Irreversible { .. }, None) => return,
        (inverse, _) => panic!("{effect:?}: {inverse:?}"),
    };
    assert!(!bench.perform(effect, &before).await.unwrap());
    let after = bench.observe(effect).await;
    theirs.write(bench).await;
    let met = bench.seen(effect).await;
    // By what was read before theirs nothing is written.
    match bench.perform(&inverse, &after).await {
        Err(PerformError::NotApplied(_)) => {}
        other => panic!("{inverse:?} on what was read before: {other:?}"),
    }
    assert_eq!(bench.seen(effect).await, met, "{effect:?}");
    theirs.require_there(bench).await;
    // By what is there now, as a run does it.
    let now = bench.observe(effect).await;
    let stands = effect::back(effect, &inverse, &State::of(&before), &State::of(&now)).unwrap();
    match then {
        Then::Stuck => assert!(matches!(stands, Back::Conflict(_)), "{effect:?} {stands:?}"),
        Then::Beside => {
            assert_eq!(stands, Back::Ready, "{effect:?}");
            assert!(!bench.perform(&inverse, &now).await.unwrap());
            let end = bench.observe(effect).await;
            let standing = effect::standing(effect, &end).unwrap();
            assert_eq!(standing, Standing::Ready, "{effect:?} is not taken back");
        }
    }
    theirs.require_there(bench).await;
}

async fn meet_kind(bench: &Bench, kind: EffectKind) {
    let mut effects = vec![bench.effect(kind).await];
    effects.extend(bench.others(kind).await);
    for effect in effects {
        println!("{effect:?}");
        in_time(kind, meet(bench, &effect)).await;
    }
}

async fn meet_all(wanted: &[Place]) {
    let Some(bench) = Bench::start().await else {
        return;
    };
    for kind in EffectKind::ALL {
        if wanted.contains(&place(*kind)) {
            meet_kind(&bench, *kind).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_someone_writes_to_azure_or_kubernetes_in_between_stays() {
    meet_all(&[Place::Azure, Place::Kubernetes]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_someone_writes_to_ufw_in_between_stays() {
    meet_all(&[Place::UfwRules, Place::UfwSwitch]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_someone_writes_to_iptables_in_between_stays() {
    meet_all(&[Place::Iptables]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_someone_writes_to_a_firewall_policy_in_between_stays() {
    let Some(bench) = Bench::start_with(estate_with_policy()).await else {
        return;
    };
    for kind in OF_FIREWALLS {
        meet_kind(&bench, kind).await;
    }
}
