//! The model world: security groups by name, written only under their ETag,
//! and everything that happened to them.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    sync::{Mutex, MutexGuard},
};

use async_trait::async_trait;
use naosu_engine::{
    Code, Error,
    driver::{Effector, IdempotencyKey, Observer, PerformError, Performed, Reading},
    model::{
        ClusterId, DryRun, Effect, Observation, ObserveError, ObserveErrorKind, Query,
        effect::NsgRule, journal::Way,
    },
};
use serde_json::{Value, json};

/// What goes wrong at a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Refused, nothing written.
    Refuse,
    /// Written, but the answer is lost.
    LoseAnswer,
    /// Neither written nor answered.
    LoseRequest,
    /// Written, and the process dies before the answer: never returns.
    DieAfter,
    /// The process dies before anything is sent: never returns.
    DieBefore,
}

#[derive(Clone, Debug, Default)]
pub struct Group {
    pub rules: BTreeMap<String, NsgRule>,
    pub etag: u64,
}

#[derive(Default)]
struct Inner {
    groups: BTreeMap<String, Group>,
    /// Every write that really changed something: step and way.
    writes: Vec<(u32, Way)>,
    troubles: BTreeMap<usize, Trouble>,
    performed: usize,
    reads: usize,
    reach: Option<bool>,
    nodes: Option<u16>,
    kubelets: BTreeMap<String, Kubelet>,
    probed: BTreeSet<String>,
    kubernetes: Option<Code>,
}

/// A node's kubelet that does not simply answer when packets pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kubelet {
    /// Packets that pass are refused.
    Stopped,
    /// It is silent, and its node is not ready.
    Unready,
    /// It is silent, and nothing says why.
    Deaf,
    /// It answers until packets pass by the rules.
    Breaking,
}

#[derive(Default)]
pub struct World {
    inner: Mutex<Inner>,
    pub died: tokio::sync::Notify,
}

pub fn nsg(name: &str) -> String {
    format!(
        "/subscriptions/s/resourceGroups/net/providers/Microsoft.Network/networkSecurityGroups/{name}"
    )
}

impl World {
    /// Groups of these names that deny everything inbound.
    pub fn denying(names: &[&str]) -> Self {
        let world = Self::default();
        for name in names {
            world.lock().groups.insert(nsg(name), Group::default());
        }
        world
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    /// Trouble at the `number`th performed effect, from 0.
    pub fn trouble(&self, number: usize, trouble: Trouble) {
        let mut inner = self.lock();
        inner.troubles.insert(number, trouble);
    }

    /// Someone else's change.
    pub fn meddle(&self, name: &str, change: impl FnOnce(&mut BTreeMap<String, NsgRule>)) {
        let mut inner = self.lock();
        let group = inner.groups.get_mut(&nsg(name)).unwrap();
        change(&mut group.rules);
        group.etag += 1;
    }

    pub fn rules(&self, name: &str) -> Vec<NsgRule> {
        self.lock().groups[&nsg(name)]
            .rules
            .values()
            .cloned()
            .collect()
    }

    pub fn writes(&self) -> Vec<(u32, Way)> {
        self.lock().writes.clone()
    }

    /// Whether the tunnel answers whatever the rules are.
    pub fn force_reach(&self, reach: bool) {
        self.lock().reach = Some(reach);
    }

    /// How the kubelet of a node is.
    pub fn kubelet(&self, node: &str, kubelet: Kubelet) {
        self.lock().kubelets.insert(node.to_owned(), kubelet);
    }

    /// From now on nothing of Kubernetes can be read.
    pub fn fail_kubernetes(&self, code: Code) {
        self.lock().kubernetes = Some(code);
    }

    /// How many nodes there are, instead of two.
    pub fn set_nodes(&self, count: u16) {
        self.lock().nodes = Some(count);
    }

    /// Nodes that were asked through the tunnel.
    pub fn probed(&self) -> BTreeSet<String> {
        self.lock().probed.clone()
    }

    pub fn read_count(&self) -> usize {
        self.lock().reads
    }
}

/// ARM's form, written here once more so that the engine's reading of it is
/// not tested against its own writing.
fn arm(id: &str, group: &Group) -> Value {
    let rules: Vec<Value> = group
        .rules
        .values()
        .map(|r| {
            json!({ "name": r.name, "properties": {
                "priority": r.priority,
                "direction": "Inbound",
                "access": if r.name.starts_with("deny") { "Deny" } else { "Allow" },
                "protocol": r.protocol,
                "sourceAddressPrefix": r.source_prefixes[0],
                "sourcePortRange": "*",
                "destinationAddressPrefix": r.destination_prefixes[0],
                "destinationPortRange": r.destination_ports[0],
            }})
        })
        .collect();
    json!({
        "id": id,
        "name": id.rsplit('/').next(),
        "etag": group.etag.to_string(),
        "properties": { "securityRules": rules, "subnets": [
            { "id": "/subscriptions/s/resourceGroups/net/providers/Microsoft.Network/virtualNetworks/v/subnets/n" }
        ]},
    })
}

fn node(index: u16, kubelet: Option<Kubelet>) -> Value {
    let [high, low] = (index + 4).to_be_bytes();
    let ready = if kubelet == Some(Kubelet::Unready) {
        json!({ "type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown" })
    } else {
        json!({ "type": "Ready", "status": "True" })
    };
    json!({ "metadata": { "name": format!("node-{index}") }, "status": {
        "conditions": [ready],
        "addresses": [
            { "type": "InternalIP", "address": format!("10.224.{high}.{low}") }] } })
}

fn probe_result(error: &str) -> Value {
    json!({ "reached": error.is_empty(), "error": error, "elapsed_ms": 1 })
}

/// What a probe of a node gives: the error, empty when it is reached.
fn tunnel_error(inner: &Inner, node: &str) -> &'static str {
    let mut groups = inner.groups.values();
    let open = groups.all(|g| g.rules.contains_key("allow-10250"));
    let open = inner.reach.unwrap_or(open);
    match (inner.kubelets.get(node), open) {
        (None, true) | (Some(Kubelet::Breaking), false) => "",
        (Some(Kubelet::Stopped), true) => "connect: connection refused",
        _ => "i/o timeout",
    }
}

fn not_there(what: &str) -> ObserveError {
    ObserveError {
        kind: ObserveErrorKind::NotFound,
        code: Code::AzureNotFound,
        message: format!("{what} is not there"),
    }
}

#[async_trait]
impl Observer for World {
    async fn observe(&self, _: &ClusterId, query: &Query) -> Result<Reading, ObserveError> {
        let mut inner = self.lock();
        inner.reads += 1;
        let body = match query {
            Query::AzureGet { resource } if resource == super::CLUSTER => {
                json!({ "properties": { "nodeResourceGroup": "MC_g" } })
            }
            Query::AzureGet { resource } if resource.ends_with("/virtualNetworks/v") => {
                json!({ "properties": { "addressSpace": { "addressPrefixes": ["10.224.0.0/12"] } } })
            }
            Query::AzureGet { resource } => {
                let group = inner
                    .groups
                    .get(resource)
                    .ok_or_else(|| not_there(resource))?;
                return Ok(Reading {
                    body: arm(resource, group).to_string(),
                    version: Some(group.etag.to_string()),
                });
            }
            Query::AzureList { path } if path.ends_with("SecurityAdminRules") => json!([]),
            Query::KubernetesList { .. } if let Some(code) = inner.kubernetes => {
                return Err(ObserveError {
                    kind: ObserveErrorKind::Unavailable,
                    code,
                    message: "it does not answer".into(),
                });
            }
            Query::KubernetesList { object_kind, .. } if object_kind == "Node" => {
                let kubelet = |index| inner.kubelets.get(&format!("node-{index}")).copied();
                (0..inner.nodes.unwrap_or(2))
                    .map(|index| node(index, kubelet(index)))
                    .collect()
            }
            Query::KubernetesList { label_selector, .. }
                if label_selector == "app=konnectivity-agent" =>
            {
                json!([{ "spec": { "nodeName": "node-0" }, "status": { "phase": "Running" } }])
            }
            Query::KubernetesList { .. } => json!([]),
            Query::TunnelProbe { node } => {
                inner.probed.insert(node.clone());
                probe_result(tunnel_error(&inner, node))
            }
            Query::LogProbe { node } => probe_result(tunnel_error(&inner, node)),
            Query::TcpProbes { to_hosts, .. } => to_hosts
                .iter()
                .map(|host| {
                    let [_, _, high, low] = host.parse::<Ipv4Addr>().unwrap().octets();
                    let index = u16::from_be_bytes([high, low]) - 4;
                    probe_result(tunnel_error(&inner, &format!("node-{index}")))
                })
                .collect(),
            other => return Err(not_there(&other.to_string())),
        };
        Ok(Reading {
            body: body.to_string(),
            version: None,
        })
    }
}

impl World {
    fn write(
        &self,
        effect: &Effect,
        before: &Observation,
        key: &IdempotencyKey,
    ) -> Result<Performed, PerformError> {
        let mut inner = self.lock();
        let (id, rule) = match effect {
            Effect::NsgRuleCreate { nsg, rule } | Effect::NsgRuleDelete { nsg, rule } => {
                (nsg, rule)
            }
            _ => panic!("the model has no {effect:?}"),
        };
        let group = inner.groups.get_mut(id).unwrap();
        if before.version.as_deref() != Some(group.etag.to_string().as_str()) {
            return Err(PerformError::NotApplied(Error::new(
                Code::AzurePreconditionFailed,
                "the ETag is another",
                "",
            )));
        }
        let changed = match effect {
            Effect::NsgRuleCreate { .. } => {
                group.rules.insert(rule.name.clone(), rule.clone()).as_ref() != Some(rule)
            }
            _ => group.rules.remove(&rule.name).is_some(),
        };
        if changed {
            group.etag += 1;
            inner.writes.push((key.step, key.way));
        }
        Ok(Performed {
            already_in_place: !changed,
            detail: "done".into(),
        })
    }
}

#[async_trait]
impl Effector for World {
    async fn perform(
        &self,
        _: &ClusterId,
        effect: &Effect,
        before: &Observation,
        key: &IdempotencyKey,
    ) -> Result<Performed, PerformError> {
        let trouble = {
            let mut inner = self.lock();
            let number = inner.performed;
            inner.performed += 1;
            inner.troubles.remove(&number)
        };
        let lost = || Error::new(Code::AzureUnreachable, "no answer", "");
        match trouble {
            None => self.write(effect, before, key),
            Some(Trouble::Refuse) => Err(PerformError::NotApplied(Error::new(
                Code::AzureForbidden,
                "forbidden",
                "",
            ))),
            Some(Trouble::LoseAnswer) => {
                self.write(effect, before, key)?;
                Err(PerformError::Unknown(lost()))
            }
            Some(Trouble::LoseRequest) => Err(PerformError::Unknown(lost())),
            Some(dying @ (Trouble::DieAfter | Trouble::DieBefore)) => {
                if dying == Trouble::DieAfter {
                    self.write(effect, before, key)?;
                }
                self.died.notify_one();
                std::future::pending().await
            }
        }
    }

    async fn dry_run(
        &self,
        _: &ClusterId,
        _: &Effect,
        _: &Observation,
    ) -> Result<Option<DryRun>, Error> {
        Ok(None)
    }
}
