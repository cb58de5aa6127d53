//! Security admin rules of network managers, read from ARM's JSON. They are tried at every network
//! interface of a network, before its network security groups.

use serde_json::Value;

use super::address_match::{AddressMatch, Addressing};
use super::read::{list, text, texts};
use super::rule_fields::RuleFields;
use super::security_rules::{PacketMatch, port_ranges};
use super::verdict::Packet;
use crate::data_plane::ArmResources;
use crate::estate::{AdminAccess, Direction};

const RULE: &str =
    "Microsoft.Network/networkManagers/securityAdminConfigurations/ruleCollections/rules";
const MEMBER: &str = "Microsoft.Network/networkManagers/networkGroups/staticMembers";

/// A security admin rule in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminRule {
    /// Its name, for a reader of the compiled filter.
    pub name: String,
    /// The smaller is tried first.
    pub priority: u32,
    /// The packets it decides.
    pub packets: PacketMatch,
    /// What it does with them.
    pub access: AdminAccess,
}

/// The security admin rules of a network, each direction in the order they are tried.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AdminRules {
    /// Rules for packets to the network's machines.
    pub inbound: Vec<AdminRule>,
    /// Rules for packets from them.
    pub outbound: Vec<AdminRule>,
}

impl AdminRules {
    /// Reads the rules deployed to a network.
    pub fn read(
        resources: &ArmResources,
        network_id: &str,
        addressing: &Addressing,
    ) -> Result<Self, String> {
        let mut read = Self::default();
        for rule in admin_rules_on(resources, network_id) {
            let (direction, rule) = read_rule(rule, addressing)?;
            match direction {
                Direction::Inbound => read.inbound.push(rule),
                Direction::Outbound => read.outbound.push(rule),
            }
        }
        read.inbound.sort_by_key(|rule| rule.priority);
        read.outbound.sort_by_key(|rule| rule.priority);
        Ok(read)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.inbound.is_empty() && self.outbound.is_empty()
    }

    /// The rules of a direction.
    pub fn of(&self, direction: Direction) -> &[AdminRule] {
        match direction {
            Direction::Inbound => &self.inbound,
            Direction::Outbound => &self.outbound,
        }
    }

    /// What the first rule that matches does with a packet; nothing where none matches.
    pub fn decide(&self, direction: Direction, packet: &Packet) -> Option<AdminAccess> {
        let mut rules = self.of(direction).iter();
        let first = rules.find(|rule| rule.packets.contains(packet))?;
        Some(first.access)
    }
}

/// The security admin rules deployed to a network: those of the rule collections that apply to a
/// network group which it is a member of.
pub fn admin_rules_on<'a>(resources: &'a ArmResources, network_id: &str) -> Vec<&'a Value> {
    let groups: Vec<&str> = resources
        .of_type(MEMBER)
        .filter(|member| {
            text(member, &["properties", "resourceId"])
                .is_some_and(|id| id.eq_ignore_ascii_case(network_id))
        })
        .map(parent_of)
        .collect();
    let applies = |collection: &Value| {
        list(collection, &["properties", "appliesToGroups"])
            .iter()
            .filter_map(|item| text(item, &["networkGroupId"]))
            .any(|id| groups.iter().any(|group| group.eq_ignore_ascii_case(id)))
    };
    resources
        .of_type(RULE)
        .filter(|rule| resources.get(parent_of(rule)).is_some_and(applies))
        .collect()
}

/// The id of the resource that a nested one lies in.
pub fn parent_of(resource: &Value) -> &str {
    let id = text(resource, &["id"]).unwrap_or_default();
    id.rsplitn(3, '/').nth(2).unwrap_or_default()
}

fn read_rule(rule: &Value, addressing: &Addressing) -> Result<(Direction, AdminRule), String> {
    let id = text(rule, &["id"]).unwrap_or("unnamed");
    let name = id.rsplit('/').next().unwrap_or_default().to_owned();
    let fields = RuleFields::of(rule, "security admin rule", &name);
    let say = |reason: String| fields.say(reason);
    let direction = fields.direction()?;
    let access = match fields.word("access")?.as_str() {
        "allow" => AdminAccess::Allow,
        "alwaysallow" => AdminAccess::AlwaysAllow,
        "deny" => AdminAccess::Deny,
        other => return Err(say(format!("{other} is no access"))),
    };
    let priority = fields.priority()?;
    let protocols = fields.protocols("any")?;
    let side = |field: &str| {
        let places = list(rule, &["properties", field]).iter();
        let words: Vec<&str> = places
            .filter_map(|place| text(place, &["addressPrefix"]))
            .collect();
        if words.is_empty() {
            return Ok(AddressMatch::Any);
        }
        addressing.words(&words).map_err(say)
    };
    let ports = |field: &str| port_ranges(&texts(rule, &["properties", field])).map_err(say);
    let packets = PacketMatch {
        protocols,
        source: side("sources")?,
        source_ports: ports("sourcePortRanges")?,
        destination: side("destinations")?,
        destination_ports: ports("destinationPortRanges")?,
    };
    let rule = AdminRule {
        name,
        priority,
        packets,
        access,
    };
    Ok((direction, rule))
}
