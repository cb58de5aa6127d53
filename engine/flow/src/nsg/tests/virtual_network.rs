//! What networks, peerings and routes make of `VirtualNetwork` and `Internet`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde_json::{Value, json};

use crate::nsg::{Direction, Nsg, Side, TagContext, VirtualNetworkTag, route_tables};
use crate::policy::{Policy, Verdict};
use crate::set::{self, Packet, PacketSet, Space};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn network(peerings: &Value) -> Value {
    json!({ "name": "vnet", "properties": {
        "addressSpace": { "addressPrefixes": ["10.224.0.0/16"] },
        "subnets": [
            { "id": "/vnet/subnets/Nodes", "properties": { "routeTable": { "id": "/Tables/RT" } } },
            { "id": "/vnet/subnets/other", "properties": {} },
        ],
        "virtualNetworkPeerings": peerings } })
}

fn peering(fields: &[(&str, Value)]) -> Value {
    let mut properties = json!({
        "peeringState": "Connected", "allowVirtualNetworkAccess": true,
        "remoteAddressSpace": { "addressPrefixes": ["10.1.0.0/16"] } });
    for (field, value) in fields {
        properties[field] = value.clone();
    }
    json!([{ "name": "hub", "properties": properties }])
}

fn route(prefix: &str, hop: &str) -> Value {
    json!({ "name": "r", "properties": { "addressPrefix": prefix, "nextHopType": hop } })
}

fn table(routes: &[Value]) -> BTreeMap<String, Result<Value, String>> {
    let table = json!({ "name": "RT", "properties": { "routes": routes } });
    BTreeMap::from([("/tables/rt".to_owned(), Ok(table))])
}

fn nodes() -> BTreeSet<String> {
    BTreeSet::from(["/VNET/subnets/nodes".to_owned()])
}

/// Whether an address is in the tag: yes, no, or not known.
fn member(tag: &VirtualNetworkTag, name: &str, address: &str) -> Option<bool> {
    let tags = TagContext::new().with_virtual_network_tag(tag.clone());
    let (known, unknown) = tags.tag(name, Side::Source).parts();
    let may_be = unknown.is_some_and(|unknown| unknown.within.contains(ip(address)));
    match (known.contains(ip(address)), may_be) {
        (true, _) => Some(true),
        (false, true) => None,
        (false, false) => Some(false),
    }
}

fn in_network(tag: &VirtualNetworkTag, address: &str) -> Option<bool> {
    let inside = member(tag, "VirtualNetwork", address);
    // The internet is what is outside, and as well or ill known.
    assert_eq!(
        member(tag, "Internet", address),
        inside.map(|inside| !inside),
        "{address}"
    );
    inside
}

fn verdict(tag: &VirtualNetworkTag, direction: Direction, from: &str, to: &str) -> Verdict {
    let tags = TagContext::new().with_virtual_network_tag(tag.clone());
    let group = Nsg::new("nsg", Vec::new()).unwrap();
    let policy = group.policy(&tags).unwrap();
    let packet = Packet::new_tcp(ip(from), ip(to), 10_250).with_direction(direction.into());
    let mut space = Space::new();
    let decisions = policy.decide(&mut space, PacketSet::ALL).unwrap();
    decisions.answer(&mut space, &packet).unwrap().verdict
}

#[test]
fn a_default_route_leaves_the_networks_own_traffic_decided_and_the_rest_unknown() {
    let network = network(&json!([]));
    let tables = table(&[route("0.0.0.0/0", "VirtualAppliance")]);
    let tag = VirtualNetworkTag::of_networks([&network], Some(&nodes()), &tables);
    assert_eq!(in_network(&tag, "10.224.9.9"), Some(true));
    assert_eq!(in_network(&tag, "168.63.129.16"), Some(true));
    assert_eq!(in_network(&tag, "8.8.8.8"), None);
    assert_eq!(in_network(&tag, "2001:db8::1"), Some(false));
    let (inbound, outbound) = (Direction::Inbound, Direction::Outbound);
    let (node, other, outside) = ("10.224.0.4", "10.224.0.5", "8.8.8.8");
    assert_eq!(verdict(&tag, inbound, node, other), Verdict::Allow);
    assert_eq!(verdict(&tag, outbound, node, other), Verdict::Allow);
    assert_eq!(verdict(&tag, inbound, outside, node), Verdict::Unknown);
    // Inside the network or on the internet: it may leave either way.
    assert_eq!(verdict(&tag, outbound, node, outside), Verdict::Allow);
    let tags = TagContext::new().with_virtual_network_tag(tag);
    let (_, unknown) = tags.tag("VirtualNetwork", Side::Source).parts();
    let reason = unknown.unwrap().atom.reason;
    assert_eq!(
        reason,
        "route r of route table RT is a default route, which may be part of the tag"
    );
}

#[test]
fn a_prefix_of_a_route_is_a_member_where_every_subnet_has_it_and_it_stays_inside() {
    let network = network(&json!([]));
    let of = |subnets: Option<&BTreeSet<String>>, routes: &[Value]| {
        VirtualNetworkTag::of_networks([&network], subnets, &table(routes))
    };
    let inside = [route("192.168.0.0/16", "VirtualAppliance")];
    let nodes = nodes();
    assert_eq!(
        in_network(&of(Some(&nodes), &inside), "192.168.1.1"),
        Some(true)
    );
    // The other subnet has no route table.
    assert_eq!(in_network(&of(None, &inside), "192.168.1.1"), None);
    assert_eq!(in_network(&of(None, &inside), "8.8.8.8"), Some(false));
    for odd in [
        route("203.0.113.7/32", "Internet"),
        route("203.0.113.0/24", "None"),
        route("AzureCloud.WestEurope", "Internet"),
    ] {
        let tag = of(Some(&nodes), std::slice::from_ref(&odd));
        assert_eq!(in_network(&tag, "203.0.113.7"), None, "{odd}");
        assert_eq!(in_network(&tag, "10.224.0.4"), Some(true), "{odd}");
    }
}

#[test]
fn a_route_table_that_was_not_read_leaves_the_rest_unknown_with_the_reason() {
    let network = network(&json!([]));
    assert_eq!(
        route_tables([&network], Some(&nodes())),
        ["/Tables/RT".to_owned()]
    );
    let refused = BTreeMap::from([("/tables/rt".to_owned(), Err("forbidden".to_owned()))]);
    let without = json!({ "name": "RT", "properties": {} });
    let cases = [
        (refused, "route table RT was not read: forbidden"),
        (
            BTreeMap::new(),
            "the routes of route table RT were not observed",
        ),
        (
            BTreeMap::from([("/tables/rt".to_owned(), Ok(without))]),
            "the routes of route table RT were not observed",
        ),
    ];
    for (tables, why) in cases {
        let tag = VirtualNetworkTag::of_networks([&network], Some(&nodes()), &tables);
        assert_eq!(in_network(&tag, "10.224.0.4"), Some(true));
        assert_eq!(in_network(&tag, "8.8.8.8"), None);
        let tags = TagContext::new().with_virtual_network_tag(tag);
        let (_, unknown) = tags.tag("Internet", Side::Destination).parts();
        assert_eq!(unknown.unwrap().atom.reason, why);
    }
}

#[test]
fn peers_count_while_connected_and_allowed_and_are_unknown_when_it_is_not_said() {
    let of = |fields: &[(&str, Value)]| {
        let network = network(&peering(fields));
        VirtualNetworkTag::of_networks([&network], Some(&nodes()), &table(&[]))
    };
    let cases = [
        (vec![], Some(true)),
        (
            vec![("allowVirtualNetworkAccess", json!(false))],
            Some(false),
        ),
        (vec![("peeringState", json!("Disconnected"))], Some(false)),
        (vec![("peeringState", json!("initiated"))], Some(false)),
        (vec![("peeringState", Value::Null)], None),
        (vec![("allowVirtualNetworkAccess", Value::Null)], None),
        (vec![("remoteAddressSpace", Value::Null)], None),
        (vec![("remoteAddressSpace", json!({}))], None),
        (
            vec![("remoteAddressSpace", json!({ "addressPrefixes": [] }))],
            None,
        ),
    ];
    for (fields, expected) in cases {
        assert_eq!(in_network(&of(&fields), "10.1.0.4"), expected, "{fields:?}");
        assert_eq!(in_network(&of(&fields), "10.224.0.4"), Some(true));
    }
    // The peer has grown since it was last synchronised.
    let now = json!({ "addressPrefixes": ["10.1.0.0/16", "10.2.0.0/16"] });
    let grown = of(&[("remoteVirtualNetworkAddressSpace", now)]);
    assert_eq!(in_network(&grown, "10.1.0.4"), Some(true));
    assert_eq!(in_network(&grown, "10.2.0.4"), None);
    assert_eq!(in_network(&grown, "10.3.0.4"), Some(false));
}

#[test]
fn what_a_gateway_learns_is_unknown_and_an_address_space_is_never_empty() {
    let of =
        |network: &Value| VirtualNetworkTag::of_networks([network], Some(&nodes()), &table(&[]));
    let remote = network(&peering(&[("useRemoteGateways", json!(true))]));
    let mut own = network(&json!([]));
    own["properties"]["subnets"][1] = json!({ "id": "/vnet/subnets/gatewaysubnet" });
    for network in [&remote, &own] {
        let tag = of(network);
        assert_eq!(in_network(&tag, "10.224.0.4"), Some(true));
        assert_eq!(in_network(&tag, "192.168.1.1"), None);
    }
    // A gateway behind a peering that is not in force teaches nothing.
    let apart = [
        ("useRemoteGateways", json!(true)),
        ("peeringState", json!("Disconnected")),
    ];
    let tag = of(&network(&peering(&apart)));
    assert_eq!(in_network(&tag, "192.168.1.1"), Some(false));
    for space in [
        Value::Null,
        json!({}),
        json!({ "addressPrefixes": [] }),
        json!({ "addressPrefixes": ["ten"] }),
    ] {
        let mut network = network(&json!([]));
        network["properties"]["addressSpace"] = space.clone();
        assert_eq!(in_network(&of(&network), "10.224.0.4"), None, "{space}");
    }
}

#[test]
fn members_of_application_security_groups_are_not_behind_routes() {
    let network = network(&json!([]));
    let tables = table(&[route("0.0.0.0/0", "VirtualAppliance")]);
    let tag = VirtualNetworkTag::of_networks([&network], Some(&nodes()), &tables);
    let tags = TagContext::new().with_virtual_network_tag(tag);
    let (_, unknown) = tags.group("/groups/web", Side::Source).parts();
    let within = unknown.unwrap().within;
    assert!(within.contains(ip("10.224.0.4")));
    assert!(!within.contains(ip("8.8.8.8")));
    assert_eq!(
        set::AddressSet::prefix("10.224.0.0/16".parse().unwrap()),
        within
    );
}
