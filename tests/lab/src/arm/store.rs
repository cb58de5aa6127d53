//! Every resource of the subscription, by id without regard to case.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::etag::Etag;
use super::id::same_id;
use super::reply::Family;
use super::shape::{AGENT_POOL_STATES, Kind};

/// A resource as it is kept: without etag and provisioning state, which are
/// put in when it is shown.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Its kind.
    pub kind: &'static Kind,
    /// Id in the casing it was created with.
    pub id: String,
    /// Body.
    pub body: Value,
    /// Version.
    pub etag: Etag,
    /// `Succeeded`, or what is going on.
    pub state: &'static str,
}

/// A resource group.
#[derive(Clone, Debug)]
pub struct Group {
    /// Name in the casing it was created with.
    pub name: String,
    /// Region.
    pub location: String,
}

/// The resources of one subscription.
#[derive(Clone, Debug, Default)]
pub struct Store {
    groups: BTreeMap<String, Group>,
    resources: BTreeMap<String, Stored>,
}

impl Store {
    /// The group of this name.
    pub fn group(&self, name: &str) -> Option<&Group> {
        self.groups.get(&name.to_ascii_lowercase())
    }

    /// Every group.
    pub fn groups(&self) -> impl Iterator<Item = &Group> {
        self.groups.values()
    }

    /// Adds a group; `true` when it is new.
    pub fn put_group(&mut self, name: &str, location: &str) -> bool {
        let group = Group {
            name: name.to_owned(),
            location: location.to_owned(),
        };
        self.groups
            .insert(name.to_ascii_lowercase(), group)
            .is_none()
    }

    /// Removes a group with everything in it.
    pub fn remove_group(&mut self, name: &str) -> bool {
        let marker = format!("/resourcegroups/{}/", name.to_ascii_lowercase());
        self.resources.retain(|key, _| !key.contains(&marker));
        self.groups.remove(&name.to_ascii_lowercase()).is_some()
    }

    /// The resource of this id.
    pub fn get(&self, id: &str) -> Option<&Stored> {
        self.resources.get(&id.to_ascii_lowercase())
    }

    /// The resource of this id, to be changed.
    pub fn get_mut(&mut self, id: &str) -> Option<&mut Stored> {
        self.resources.get_mut(&id.to_ascii_lowercase())
    }

    /// Adds or replaces a resource.
    pub fn put(&mut self, stored: Stored) {
        self.resources
            .insert(stored.id.to_ascii_lowercase(), stored);
    }

    /// Removes a resource and what is below it.
    pub fn remove(&mut self, id: &str) -> Option<Stored> {
        let key = id.to_ascii_lowercase();
        let below = format!("{key}/");
        self.resources.retain(|other, _| !other.starts_with(&below));
        self.resources.remove(&key)
    }

    /// Every resource of a kind, below `prefix`, in id order.
    pub fn of_kind<'a>(
        &'a self,
        kind: &'a Kind,
        prefix: &str,
    ) -> impl Iterator<Item = &'a Stored> + use<'a> {
        let prefix = format!("{}/", prefix.to_ascii_lowercase());
        self.resources
            .iter()
            .filter(move |(key, stored)| key.starts_with(&prefix) && stored.kind == kind)
            .map(|(_, stored)| stored)
    }

    /// Every resource, in id order.
    pub fn all(&self) -> impl Iterator<Item = &Stored> {
        self.resources.values()
    }

    /// A resource as Azure shows it.
    pub fn render(&self, stored: &Stored) -> Value {
        self.render_as(stored, stored.state)
    }

    /// A resource as Azure shows it in this provisioning state.
    pub fn render_as(&self, stored: &Stored, state: &str) -> Value {
        let mut body = stored.body.clone();
        let family = stored.kind.family();
        let etag = stored.etag.render(family);
        match family {
            Family::ContainerService => body["eTag"] = json!(etag),
            _ => body["etag"] = json!(etag),
        }
        if stored.kind.name.ends_with("/ruleCollectionGroups") {
            // The one network resource whose tag is a bare guid.
            body["etag"] = json!(etag.trim_start_matches("W/").trim_matches('"'));
        }
        body["properties"]["provisioningState"] = json!(state);
        if family == Family::Network {
            stamp_children(&stored.id, &mut body["properties"], &etag, state);
        }
        if let Some(pools) = body
            .pointer_mut(AGENT_POOL_STATES)
            .and_then(Value::as_array_mut)
        {
            for pool in pools {
                pool["provisioningState"] = json!(state);
            }
        }
        self.show_users(stored, &mut body);
        body
    }

    /// Lists, in a security group or a route table, the subnets and interfaces
    /// that use it.
    fn show_users(&self, stored: &Stored, body: &mut Value) {
        let field = match stored.kind.name {
            "Microsoft.Network/networkSecurityGroups" => "networkSecurityGroup",
            "Microsoft.Network/routeTables" => "routeTable",
            "Microsoft.Network/natGateways" => "natGateway",
            _ => return,
        };
        let subnets = self.subnets_using(field, &stored.id);
        if !subnets.is_empty() {
            body["properties"]["subnets"] = json!(subnets);
        }
        let interfaces = self.interfaces_using(field, &stored.id);
        if !interfaces.is_empty() {
            body["properties"]["networkInterfaces"] = json!(interfaces);
        }
    }

    /// `{id}` of each subnet that points to `id` by `field`.
    pub fn subnets_using(&self, field: &str, id: &str) -> Vec<Value> {
        self.all()
            .filter(|stored| stored.kind.name == "Microsoft.Network/virtualNetworks")
            .flat_map(|stored| stored.body["properties"]["subnets"].as_array())
            .flatten()
            .filter(|subnet| points_to(&subnet["properties"], field, id))
            .map(|subnet| json!({ "id": subnet["id"] }))
            .collect()
    }

    /// `{id}` of each network interface that points to `id` by `field`.
    pub fn interfaces_using(&self, field: &str, id: &str) -> Vec<Value> {
        self.all()
            .filter(|stored| stored.kind.name.ends_with("/networkInterfaces"))
            .filter(|stored| points_to(&stored.body["properties"], field, id))
            .map(|stored| json!({ "id": stored.id }))
            .collect()
    }
}

fn points_to(properties: &Value, field: &str, id: &str) -> bool {
    properties[field]["id"]
        .as_str()
        .is_some_and(|other| same_id(other, id))
}

/// Children share the version and the state of their parent.
fn stamp_children(parent_id: &str, properties: &mut Value, etag: &str, state: &str) {
    let Some(fields) = properties.as_object_mut() else {
        return;
    };
    for children in fields.values_mut().filter_map(Value::as_array_mut) {
        for child in children {
            let is_child = child["id"]
                .as_str()
                .and_then(|id| id.get(..parent_id.len()))
                .is_some_and(|prefix| same_id(prefix, parent_id))
                && child["properties"].is_object();
            if is_child {
                child["etag"] = json!(etag);
                child["properties"]["provisioningState"] = json!(state);
            }
        }
    }
}
