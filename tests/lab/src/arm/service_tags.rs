//! The list of service tags of a region.

use std::collections::BTreeMap;

use http::StatusCode;
use ipnet::IpNet;
use serde_json::{Value, json};

use super::reply::Reply;

/// Tags and their prefixes.
#[derive(Clone, Debug, Default)]
pub(super) struct ServiceTags(pub BTreeMap<String, Vec<IpNet>>);

impl ServiceTags {
    pub fn answer(&self, subscription: &str) -> Reply {
        let values: Vec<Value> = self
            .0
            .iter()
            .map(|(tag, prefixes)| {
                let (service, region) = tag.split_once('.').unwrap_or((tag, ""));
                json!({
                    "name": tag,
                    "id": tag,
                    "serviceTagChangeNumber": "1",
                    "properties": {
                        "changeNumber": "1",
                        "region": region,
                        "state": "GA",
                        "networkFeatures": ["API", "NSG", "UDR", "FW"],
                        "systemService": service,
                        "addressPrefixes": prefixes,
                    },
                })
            })
            .collect();
        Reply::json(
            StatusCode::OK,
            json!({
                "name": "Public",
                "id": format!("/subscriptions/{subscription}/providers/Microsoft.Network/serviceTags/Public"),
                "type": "Microsoft.Network/serviceTags",
                "changeNumber": "1",
                "cloud": "Public",
                "values": values,
            }),
        )
    }
}
