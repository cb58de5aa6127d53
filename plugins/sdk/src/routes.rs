//! Where the routes of subnets send packets.

use std::collections::BTreeMap;

use ipnet::IpNet;
use naosu_flow::{
    firewall::{NextHop, Route, RouteTable},
    nsg::TagContext,
    set::AddressSet,
};
use serde_json::{Value, json};

use crate::{
    Evidence, NodeNetwork, Observed, PluginError, Query, Reads, ResourceId, arm::Subnet,
    error::in_words, firewall_error, read_json_many, tags::is_tag,
};

/// Packets that one route sends to one place.
#[derive(Clone, Debug)]
pub struct Hop {
    /// Where to.
    pub next: NextHop,
    /// The destinations concerned.
    pub destinations: AddressSet,
    /// Whether the route is one that Azure makes by itself.
    pub is_system_route: bool,
    /// What decides.
    pub evidence: Evidence,
}

/// The routes of one subnet.
#[derive(Clone, Debug)]
struct SubnetRoutes {
    subnet: Observed<Subnet>,
    /// The user's own routes; nothing where the subnet has no route table.
    table: Option<Result<Table, String>>,
}

#[derive(Clone, Debug)]
struct Table {
    read: Observed<Value>,
    /// Own routes, tags replaced by their prefixes, and the system's.
    routes: RouteTable,
    is_learning: bool,
}

/// The routes of subnets, by the key of their id.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    subnets: BTreeMap<String, SubnetRoutes>,
    /// The network's own prefixes and those of its peers.
    space: Vec<IpNet>,
    /// Whether a gateway may teach further routes, which nothing lists.
    has_gateway: bool,
}

impl Routes {
    /// Reads the route tables of these subnets, each once. A table that cannot
    /// be read leaves its subnet's routes unknown.
    ///
    /// # Errors
    /// When an address of the network makes no sense.
    pub fn observe<'a>(
        reads: &dyn Reads,
        network: &NodeNetwork,
        subnets: impl IntoIterator<Item = &'a Observed<Subnet>>,
        resolve: impl FnOnce(&[String]) -> Result<TagContext, PluginError>,
    ) -> Result<Self, PluginError> {
        let subnets: BTreeMap<String, &Observed<Subnet>> = subnets
            .into_iter()
            .map(|subnet| (subnet.value.id.key(), subnet))
            .collect();
        let mut ids: BTreeMap<String, ResourceId> = BTreeMap::new();
        for subnet in subnets.values() {
            if let Some(table) = &subnet.value.properties.route_table {
                ids.insert(table.id.key(), table.id.clone());
            }
        }
        let queries: Vec<Query> = ids
            .values()
            .map(|id| Query::AzureGet(id.0.clone()))
            .collect();
        let answers = read_json_many::<Value>(reads, &queries);
        let mut read: BTreeMap<String, Result<Observed<Value>, String>> = BTreeMap::new();
        for (key, answer) in ids.into_keys().zip(answers) {
            read.insert(key, answer.map_err(|e| in_words(&e)));
        }
        let named: Vec<String> = read
            .values()
            .flatten()
            .flat_map(|table| tags_of(&table.value))
            .collect();
        // The list of tags is large: it is read only where a route needs it.
        let tags = if named.is_empty() {
            TagContext::new()
        } else {
            resolve(&named)?
        };
        let space = network.address_space()?;
        let tables: BTreeMap<String, Result<Table, String>> = read
            .into_iter()
            .map(|(key, table)| {
                (
                    key,
                    table.and_then(|table| Table::new(table, &tags, &space)),
                )
            })
            .collect();
        let subnets = subnets
            .into_iter()
            .map(|(key, subnet)| {
                let table = subnet.value.properties.route_table.as_ref();
                let table = table.and_then(|table| tables.get(&table.id.key()).cloned());
                let subnet = subnet.clone();
                (key, SubnetRoutes { subnet, table })
            })
            .collect();
        Ok(Self {
            subnets,
            has_gateway: network.has_gateway(),
            space,
        })
    }

    /// The network's own prefixes and those of its peers.
    pub fn space(&self) -> AddressSet {
        AddressSet::prefixes(&self.space)
    }

    /// Whether routes that a gateway teaches may apply in a subnet: they are
    /// not listed anywhere, and win over the system's own.
    pub fn may_learn(&self, subnet: &ResourceId) -> bool {
        let table = self.subnets.get(&subnet.key());
        let is_learning = match table.and_then(|routes| routes.table.as_ref()) {
            Some(Ok(table)) => table.is_learning,
            Some(Err(_)) | None => true,
        };
        self.has_gateway && is_learning
    }

    /// Where a subnet's routes send packets to these destinations.
    ///
    /// # Errors
    /// In words, why the routes are not known.
    pub fn hops(&self, subnet: &ResourceId, to: &AddressSet) -> Result<Vec<Hop>, String> {
        let routes = self.subnets.get(&subnet.key());
        let routes = routes.ok_or_else(|| format!("subnet {subnet} was not observed"))?;
        let without_table;
        let (table, read) = match &routes.table {
            Some(Ok(table)) => (&table.routes, Some(&table.read)),
            Some(Err(reason)) => {
                return Err(format!(
                    "the route table of subnet {} could not be judged: {reason}",
                    routes.subnet.value.id.name()
                ));
            }
            None => {
                without_table = system_routes(&self.space)?;
                (&without_table, None)
            }
        };
        let mut hops = Vec::new();
        for (next, destinations) in table.destinations() {
            let destinations = destinations.intersection(to);
            let Some(first) = destinations.to_prefixes().first().map(IpNet::addr) else {
                continue;
            };
            let Some(route) = table.route(first) else {
                continue;
            };
            let is_own = |read: &&Observed<Value>| is_own(&read.value, route);
            let own = read.filter(is_own);
            hops.push(Hop {
                next,
                destinations,
                is_system_route: own.is_none(),
                evidence: evidence(route, own, &routes.subnet),
            });
        }
        Ok(hops)
    }
}

impl Table {
    fn new(read: Observed<Value>, tags: &TagContext, space: &[IpNet]) -> Result<Self, String> {
        let routes = RouteTable::from_arm(&read.value, tags);
        let routes = routes.map_err(|e| in_words(&firewall_error(e)))?;
        let propagation = read.value.pointer("/properties/disableBgpRoutePropagation");
        Ok(Self {
            is_learning: propagation.and_then(Value::as_bool) != Some(true),
            routes: routes.with_system_routes(space),
            read,
        })
    }
}

fn system_routes(space: &[IpNet]) -> Result<RouteTable, String> {
    let none = json!({ "name": "", "properties": { "routes": [] } });
    let table = RouteTable::from_arm(&none, &TagContext::new()).map_err(|e| e.to_string())?;
    Ok(table.with_system_routes(space))
}

fn routes_of(table: &Value) -> impl Iterator<Item = &Value> {
    let routes = table
        .pointer("/properties/routes")
        .and_then(Value::as_array);
    routes.into_iter().flatten()
}

fn prefix_of(route: &Value) -> Option<&str> {
    route.pointer("/properties/addressPrefix")?.as_str()
}

fn tags_of(table: &Value) -> impl Iterator<Item = String> {
    let tags = routes_of(table).filter_map(prefix_of);
    tags.filter(|prefix| is_tag(prefix)).map(str::to_owned)
}

fn is_own(table: &Value, route: &Route) -> bool {
    routes_of(table).any(|own| own.get("name").and_then(Value::as_str) == Some(&route.name))
}

/// A next hop in words.
pub fn next_hop_words(next: NextHop) -> String {
    match next {
        NextHop::VirtualAppliance(address) => format!("VirtualAppliance {address}"),
        NextHop::Internet => "Internet".to_owned(),
        NextHop::VirtualNetwork => "VnetLocal".to_owned(),
        NextHop::VirtualNetworkGateway => "VirtualNetworkGateway".to_owned(),
        NextHop::None => "None".to_owned(),
    }
}

fn evidence(route: &Route, own: Option<&Observed<Value>>, subnet: &Observed<Subnet>) -> Evidence {
    let value = format!("{} -> {}", route.prefix, next_hop_words(route.next_hop));
    match own {
        Some(table) => {
            let field = format!("properties.routes[{}]", route.name);
            table.evidence(field, value, "the most specific route")
        }
        None => subnet.evidence(
            "properties.routeTable",
            value,
            "no route of its own is more specific than Azure's",
        ),
    }
}
