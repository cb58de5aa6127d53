//! Reading route tables as ARM returns them.

use std::collections::BTreeMap;

use ipnet::IpNet;
use serde_json::Value;

use super::error::FirewallError;
use super::route::{NextHop, Route, RouteTable};
use crate::field::json::{invalid, missing, object, text};
use crate::field::{AddressValue, FieldError, Place, excerpt, parse_address, parse_prefix};
use crate::nsg::TagContext;

impl RouteTable {
    /// Reads a route table as ARM returns it. A route to a service tag becomes one for
    /// each of the tag's prefixes.
    ///
    /// # Errors
    /// [`FirewallError`] naming the route and the field; also for a service tag whose
    /// prefixes are not known, and for two routes of one prefix that disagree.
    pub fn from_arm(value: &Value, tags: &TagContext) -> Result<Self, FirewallError> {
        let table = object("a route table", "body", value)?;
        let name = text("a route table", "name", table)?.unwrap_or_default();
        let place = format!("route table {}", excerpt(&name));
        let routes = table.get("properties").and_then(|all| all.get("routes"));
        let Some(Value::Array(routes)) = routes else {
            return Err(missing(&place, "properties.routes").into());
        };
        let propagation = table
            .get("properties")
            .and_then(|all| all.get("disableBgpRoutePropagation"));
        let is_learning = propagation.and_then(Value::as_bool) != Some(true);
        let written: Result<Vec<Written>, FieldError> = routes.iter().map(read_route).collect();
        Ok(Self::new(name, is_learning, expanded(written?, tags)?))
    }
}

/// One route as it is written.
struct Written {
    name: String,
    to: Destination,
    next_hop: NextHop,
}

/// What a route is for.
enum Destination {
    Prefix(IpNet),
    Tag(String),
}

impl Destination {
    /// Microsoft: for equal prefixes, one that is written out is preferred to that of a
    /// tag; among tags come regional ones, then those of a whole service, then
    /// `AzureCloud` of a region, then `AzureCloud`.
    fn rank(&self) -> u8 {
        match self {
            Self::Prefix(_) => 0,
            Self::Tag(tag) => match tag.split_once('.') {
                Some((service, _)) if service.eq_ignore_ascii_case("AzureCloud") => 3,
                Some(_) => 1,
                None if tag.eq_ignore_ascii_case("AzureCloud") => 4,
                None => 2,
            },
        }
    }
}

/// The routes with the prefixes of their tags; of equal prefixes the preferred first.
fn expanded(mut written: Vec<Written>, tags: &TagContext) -> Result<Vec<Route>, FirewallError> {
    written.sort_by_key(|route| route.to.rank());
    let mut routes: Vec<Route> = Vec::with_capacity(written.len());
    let mut known: BTreeMap<(u8, IpNet), usize> = BTreeMap::new();
    for one in written {
        let rank = one.to.rank();
        let prefixes = match one.to {
            Destination::Prefix(prefix) => vec![prefix],
            Destination::Tag(tag) => match tags.prefixes_of(&tag) {
                Ok(prefixes) => prefixes,
                Err(reason) => {
                    return Err(FirewallError::RouteTagUnknown {
                        route: excerpt(&one.name),
                        tag,
                        reason,
                    });
                }
            },
        };
        for prefix in prefixes {
            let first = known.entry((rank, prefix)).or_insert(routes.len());
            // Azure has one route for a prefix; which of two it would take is a guess.
            if let Some(first) = routes.get(*first)
                && first.next_hop != one.next_hop
            {
                return Err(FirewallError::RouteConflict {
                    first: excerpt(&first.name),
                    second: excerpt(&one.name),
                    prefix: prefix.to_string(),
                });
            }
            routes.push(Route {
                name: one.name.clone(),
                prefix,
                next_hop: one.next_hop,
            });
        }
    }
    Ok(routes)
}

fn read_route(value: &Value) -> Result<Written, FieldError> {
    let route = object("a route", "body", value)?;
    let name = text("a route", "name", route)?.ok_or_else(|| missing("a route", "name"))?;
    let place = format!("route {}", excerpt(&name));
    let fields = match route.get("properties") {
        Some(properties) => object(&place, "properties", properties)?,
        None => return Err(missing(&place, "properties")),
    };
    let required = |field: &str| {
        text(&place, field, fields)?
            .filter(|value| !value.is_empty())
            .ok_or_else(|| missing(&place, field))
    };
    let to = destination(&place, required("addressPrefix")?)?;
    let kind = required("nextHopType")?;
    let next_hop = match kind.to_ascii_lowercase().as_str() {
        "virtualappliance" => {
            let address = required("nextHopIpAddress")?;
            NextHop::VirtualAppliance(address.parse().map_err(|_| {
                let value = Value::from(address.as_str());
                invalid(&place, "nextHopIpAddress", &value, "an address")
            })?)
        }
        "internet" => NextHop::Internet,
        "vnetlocal" => NextHop::VirtualNetwork,
        "virtualnetworkgateway" => NextHop::VirtualNetworkGateway,
        "none" => NextHop::None,
        _ => {
            return Err(invalid(
                &place,
                "nextHopType",
                &Value::from(kind.as_str()),
                "VirtualAppliance, Internet, VnetLocal, VirtualNetworkGateway or None",
            ));
        }
    };
    Ok(Written { name, to, next_hop })
}

fn destination(place: &str, written: String) -> Result<Destination, FieldError> {
    let field = "addressPrefix";
    if let Some(prefix) = parse_prefix(&written) {
        return match prefix.trunc() == prefix {
            true => Ok(Destination::Prefix(prefix)),
            false => Err(FieldError::HostBits {
                place: place.to_owned(),
                field: field.to_owned(),
                value: written,
                corrected: prefix.trunc().to_string(),
            }),
        };
    }
    match parse_address(Place { rule: place, field }, &written) {
        Ok(AddressValue::Tag(tag)) => Ok(Destination::Tag(tag)),
        _ => {
            let value = Value::from(written);
            let expected = "an address prefix or a service tag";
            Err(invalid(place, field, &value, expected))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn table(routes: &[(&str, &str, &str)]) -> Value {
        let route = |(name, prefix, hop): &(&str, &str, &str)| json!({"name": name, "properties": {"addressPrefix": prefix, "nextHopType": hop}});
        let routes: Vec<Value> = routes.iter().map(route).collect();
        json!({"name": "rt", "properties": {"routes": routes}})
    }

    fn listed(tags: &[(&str, &[&str])]) -> TagContext {
        let value = |(name, prefixes): &(&str, &[&str])| json!({"name": name, "properties": {"addressPrefixes": prefixes}});
        let values: Vec<Value> = tags.iter().map(value).collect();
        let list = json!({"values": values});
        TagContext::new().with_service_tags(&list).unwrap()
    }

    fn route_of(table: &RouteTable, to: &str) -> String {
        let route = table.route(to.parse().unwrap());
        route.map(|route| route.name.clone()).unwrap_or_default()
    }

    #[test]
    fn of_equal_prefixes_the_written_one_wins_and_then_the_more_special_tag() {
        let all: &[&str] = &["20.1.0.0/16"];
        let tags = listed(&[
            ("AzureCloud", &["20.1.0.0/16", "20.2.0.0/16"]),
            ("AzureCloud.westeurope", all),
            ("Storage", all),
            ("Storage.WestEurope", all),
        ]);
        let mut routes = vec![
            ("cloud", "azurecloud", "Internet"),
            ("region", "AzureCloud.westeurope", "None"),
            ("service", "Storage", "VirtualNetworkGateway"),
            ("regional", "Storage.WestEurope", "VnetLocal"),
            ("written", "20.1.0.0/16", "None"),
        ];
        while let Some((name, ..)) = routes.last().copied() {
            let read = RouteTable::from_arm(&table(&routes), &tags).unwrap();
            assert_eq!(route_of(&read, "20.1.0.1"), name);
            assert_eq!(route_of(&read, "20.2.0.1"), "cloud");
            assert_eq!(route_of(&read, "20.3.0.1"), "");
            routes.reverse();
            let read = RouteTable::from_arm(&table(&routes), &tags).unwrap();
            assert_eq!(route_of(&read, "20.1.0.1"), name, "in the other order");
            routes.reverse();
            routes.pop();
        }
    }

    #[test]
    fn prefixes_of_a_tag_are_as_long_as_the_list_has_them() {
        // Their union is one prefix as long as the route that is written out.
        let tags = listed(&[("AzureCloud", &["20.0.0.0/9", "20.128.0.0/9"])]);
        let routes = [
            ("written", "20.0.0.0/8", "None"),
            ("cloud", "AzureCloud", "Internet"),
        ];
        let read = RouteTable::from_arm(&table(&routes), &tags).unwrap();
        assert_eq!(route_of(&read, "20.200.0.1"), "cloud");
    }

    #[test]
    fn a_tag_that_is_not_known_is_named_with_its_route() {
        let routes = [("storage", "Storage.WestEurope", "Internet")];
        for tags in [TagContext::new(), listed(&[("Storage.WestEurope", &[])])] {
            let error = RouteTable::from_arm(&table(&routes), &tags).unwrap_err();
            assert_eq!(error.code(), "route_tag_unknown");
            let message = error.to_string();
            assert!(
                message.starts_with("route storage is for service tag Storage.WestEurope: "),
                "{message}"
            );
        }
    }

    #[test]
    fn two_routes_of_one_prefix_that_disagree_are_refused_with_both_names() {
        let tags = listed(&[("AzureCloud", &["20.0.0.0/8"])]);
        for prefix in ["0.0.0.0/0", "AzureCloud"] {
            let disagreeing = [("out", prefix, "Internet"), ("drop", prefix, "None")];
            let error = RouteTable::from_arm(&table(&disagreeing), &tags).unwrap_err();
            assert_eq!(error.code(), "route_conflict");
            let message = error.to_string();
            for part in ["out", "drop", &prefix.replace("AzureCloud", "20.0.0.0/8")] {
                assert!(message.contains(part), "{message}");
            }
            let agreeing = [
                ("out", prefix, "Internet"),
                ("also-out", prefix, "Internet"),
            ];
            assert!(RouteTable::from_arm(&table(&agreeing), &tags).is_ok());
        }
        // A written prefix that a tag has too is no conflict.
        let beside = [
            ("out", "AzureCloud", "Internet"),
            ("drop", "20.0.0.0/8", "None"),
        ];
        assert!(RouteTable::from_arm(&table(&beside), &tags).is_ok());
    }
}
