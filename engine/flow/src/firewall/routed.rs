//! What routes do to packets, and which packets they bring to the firewall.

use std::net::IpAddr;

use super::compile::conditional;
use super::route::{NextHop, RouteTable, SYSTEM_ROUTE};
use crate::platform;
use crate::policy::{Rule, RulePolicy, Verdict};
use crate::set::{AddressSet, ConnectionState, FlowBox};

impl RouteTable {
    /// The routes as a policy over new connections: a route to nowhere drops, a
    /// system's only where no gateway may teach a better one. What an
    /// appliance or gateway does is not known, but of the `firewall`, which is asked
    /// next ([`RouteTable::to_firewall`]).
    pub fn policy(&self, firewall: Option<IpAddr>) -> RulePolicy {
        let platform = FlowBox::any()
            .with_state(ConnectionState::New)
            .with_destinations(platform::addresses());
        let mut rules = vec![Rule {
            name: PLATFORM.to_owned(),
            matches: platform.into(),
            verdict: Verdict::Allow,
        }];
        for route in self.routes() {
            let flow = FlowBox::any()
                .with_state(ConnectionState::New)
                .with_destinations(AddressSet::prefix(route.prefix));
            let name = match route.name.as_str() {
                SYSTEM_ROUTE => format!("{SYSTEM_ROUTE} for {}", route.prefix),
                name => format!("route {name} for {}", route.prefix),
            };
            let behind = match route.next_hop {
                NextHop::VirtualAppliance(address) if Some(address) != firewall => {
                    format!("the appliance {address}")
                }
                NextHop::VirtualNetworkGateway => "the virtual network gateway".to_owned(),
                NextHop::VirtualAppliance(_)
                | NextHop::Internet
                | NextHop::VirtualNetwork
                | NextHop::None => String::new(),
            };
            if !behind.is_empty() {
                rules.push(conditional(
                    &name,
                    flow.clone(),
                    &format!("{behind} drops the packet"),
                    "what it does was not observed",
                    Verdict::Deny,
                ));
            }
            if route.next_hop == NextHop::None && route.is_of_system() && self.is_learning {
                rules.push(conditional(
                    &name,
                    flow.clone(),
                    &format!(
                        "a gateway teaches a route for an address in {}",
                        route.prefix
                    ),
                    "what gateways teach is in no route table; none of it applies with \
                     disableBgpRoutePropagation",
                    Verdict::Allow,
                ));
            }
            rules.push(Rule {
                name,
                matches: flow.into(),
                verdict: match route.next_hop {
                    NextHop::None => Verdict::Deny,
                    _ => Verdict::Allow,
                },
            });
        }
        RulePolicy {
            name: format!("route table {}", self.name),
            rules,
            // The system has a route for every destination.
            default: (SYSTEM_ROUTE.to_owned(), Verdict::Allow),
        }
    }

    /// What the firewall at an address does with what these routes bring to it; all
    /// else goes by.
    #[must_use]
    pub fn to_firewall(&self, address: IpAddr, firewall: RulePolicy) -> RulePolicy {
        let others = self.reaching(address).complement();
        going_by("no route leads to it", others, firewall)
    }
}

/// What a firewall does where the routes are not known and every packet is taken to be
/// brought to it: all but those for the platform's addresses, which no route is for.
#[must_use]
pub fn reached_by_all(firewall: RulePolicy) -> RulePolicy {
    going_by(PLATFORM, platform::addresses(), firewall)
}

/// The name under which packets to the platform pass.
const PLATFORM: &str = "no route is for addresses of the Azure platform";

/// The firewall, but for packets to these destinations.
fn going_by(name: &str, destinations: AddressSet, mut firewall: RulePolicy) -> RulePolicy {
    let by = FlowBox::any().with_destinations(destinations);
    firewall.rules.insert(
        0,
        Rule {
            name: name.to_owned(),
            matches: by.into(),
            verdict: Verdict::Allow,
        },
    );
    firewall
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::nsg::TagContext;
    use crate::platform::{METADATA_ADDRESS, PLATFORM_ADDRESS};
    use crate::policy::Policy;
    use crate::set::{Packet, Space};

    fn table() -> RouteTable {
        let route = |name: &str, prefix: &str, kind: &str, address: Option<&str>| {
            json!({"name": name, "properties": {
                "addressPrefix": prefix, "nextHopType": kind, "nextHopIpAddress": address
            }})
        };
        let table = json!({"name": "rt", "properties": {"routes": [
            route("all", "0.0.0.0/0", "VirtualAppliance", Some("10.9.0.4")),
            route("other", "20.0.0.0/8", "VirtualAppliance", Some("10.9.0.5")),
            route("nowhere", "20.8.0.0/16", "None", None),
        ]}});
        let network = "10.0.0.0/8".parse().unwrap();
        read(&table).with_system_routes([&network])
    }

    fn read(table: &serde_json::Value) -> RouteTable {
        RouteTable::from_arm(table, &TagContext::new()).unwrap()
    }

    fn verdict(policy: &RulePolicy, to: &str) -> (Verdict, String) {
        let packet = Packet::new_tcp("10.1.0.4".parse().unwrap(), to.parse().unwrap(), 443);
        let mut space = Space::new();
        let within = space.flow(&FlowBox::one(&packet)).unwrap();
        let decisions = policy.decide(&mut space, within).unwrap();
        let answer = decisions.answer(&mut space, &packet).unwrap();
        (answer.verdict, answer.rules[0].rule.clone())
    }

    #[test]
    fn the_longest_prefix_decides_and_another_appliance_is_not_known() {
        let policy = table().policy(Some("10.9.0.4".parse().unwrap()));
        for (to, expected, rule) in [
            ("20.8.0.1", Verdict::Deny, "route nowhere for 20.8.0.0/16"),
            ("20.9.0.1", Verdict::Unknown, "route other for 20.0.0.0/8"),
            ("8.8.8.8", Verdict::Allow, "route all for 0.0.0.0/0"),
            ("10.2.0.1", Verdict::Allow, "system route for 10.0.0.0/8"),
        ] {
            assert_eq!(verdict(&policy, to), (expected, rule.to_owned()), "{to}");
        }
        assert_eq!(
            verdict(&table().policy(None), "8.8.8.8").0,
            Verdict::Unknown
        );
    }

    #[test]
    fn private_addresses_outside_of_the_network_go_nowhere_unless_a_gateway_teaches_more() {
        let network: [ipnet::IpNet; 2] =
            ["10.1.0.0/16", "192.168.0.0/15"].map(|p| p.parse().unwrap());
        let of = |routes: serde_json::Value, stops_learning: bool| {
            let table = json!({"name": "rt", "properties": {
                "routes": routes, "disableBgpRoutePropagation": stops_learning
            }});
            let table = read(&table).with_system_routes(&network);
            table.with_reserved_routes(&network).policy(None)
        };
        let (alone, learning) = (of(json!([]), true), of(json!([]), false));
        for (to, expected, rule) in [
            ("10.9.9.9", Verdict::Deny, "system route for 10.0.0.0/8"),
            (
                "172.16.0.1",
                Verdict::Deny,
                "system route for 172.16.0.0/12",
            ),
            (
                "100.64.0.1",
                Verdict::Deny,
                "system route for 100.64.0.0/10",
            ),
            ("10.1.0.5", Verdict::Allow, "system route for 10.1.0.0/16"),
            // The network's prefix has all of a private one, which is then none.
            (
                "192.168.0.1",
                Verdict::Allow,
                "system route for 192.168.0.0/15",
            ),
            ("8.8.8.8", Verdict::Allow, "system route for 0.0.0.0/0"),
        ] {
            assert_eq!(verdict(&alone, to), (expected, rule.to_owned()), "{to}");
            let learned = match expected {
                Verdict::Deny => Verdict::Unknown,
                other => other,
            };
            assert_eq!(verdict(&learning, to).0, learned, "{to}");
        }
        // Azure takes them away where the table has a default route of its own.
        let own = json!([{"name": "all", "properties": {
            "addressPrefix": "0.0.0.0/0", "nextHopType": "Internet"
        }}]);
        let expected = (Verdict::Allow, "route all for 0.0.0.0/0".to_owned());
        assert_eq!(verdict(&of(own, true), "10.9.9.9"), expected);
        // A longer prefix of the table's own wins.
        let own = json!([{"name": "pods", "properties": {
            "addressPrefix": "10.9.0.0/16", "nextHopType": "VnetLocal"
        }}]);
        assert_eq!(verdict(&of(own, true), "10.9.9.9").0, Verdict::Allow);
    }

    #[test]
    fn no_route_and_no_firewall_takes_what_is_for_the_platform() {
        let firewall: IpAddr = "10.9.0.4".parse().unwrap();
        let table = |kind: &str| {
            read(&json!({"name": "rt", "properties": {"routes": [
                {"name": "all", "properties": {
                    "addressPrefix": "0.0.0.0/0", "nextHopType": kind,
                    "nextHopIpAddress": firewall.to_string()
                }},
                {"name": "dns", "properties": {
                    "addressPrefix": "168.63.129.16/32", "nextHopType": "None"
                }},
            ]}}))
        };
        let denying = || RulePolicy::constant("fw", "no rule matches", Verdict::Deny);
        for address in [PLATFORM_ADDRESS, METADATA_ADDRESS] {
            let to = address.to_string();
            for kind in ["VirtualAppliance", "None", "VirtualNetworkGateway"] {
                let table = table(kind);
                let passes = (Verdict::Allow, PLATFORM.to_owned());
                assert_eq!(verdict(&table.policy(None), &to), passes, "{kind} {to}");
                let behind = table.to_firewall(firewall, denying());
                assert_eq!(verdict(&behind, &to).0, Verdict::Allow, "{kind} {to}");
                assert_eq!(table.route(address), None);
                let mut destinations = table.destinations().into_iter();
                assert!(!destinations.any(|(_, set)| set.contains(address)));
            }
            assert_eq!(verdict(&reached_by_all(denying()), &to).0, Verdict::Allow);
        }
        // The addresses beside them follow routes like all others.
        for to in ["168.63.129.17", "169.254.169.253"] {
            assert_eq!(verdict(&table("None").policy(None), to).0, Verdict::Deny);
            assert_eq!(verdict(&reached_by_all(denying()), to).0, Verdict::Deny);
        }
    }

    #[test]
    fn the_firewall_decides_only_what_routes_bring_to_it() {
        let firewall = RulePolicy::constant("fw", "no rule matches", Verdict::Deny);
        let policy = table().to_firewall("10.9.0.4".parse().unwrap(), firewall);
        assert_eq!(verdict(&policy, "8.8.8.8").0, Verdict::Deny);
        for by in ["10.2.0.1", "20.9.0.1"] {
            let expected = (Verdict::Allow, "no route leads to it".to_owned());
            assert_eq!(verdict(&policy, by), expected, "{by}");
        }
    }
}
