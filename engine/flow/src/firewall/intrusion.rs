//! Intrusion detection and prevention (IDPS) of firewall policies.
//!
//! Signatures look at what connections carry. So where one may deny, it is unknown
//! whether packets pass that rules allow; but for those that bypass it.

use serde_json::{Map, Value};

use super::collection::{FirewallRule, RuleKind};
use super::compile::matches;
use super::parse::items;
use crate::field::json::{invalid, object, text, texts};
use crate::field::{FieldError, excerpt};
use crate::nsg::TagContext;
use crate::set::FlowBox;

/// Boxes of packets that bypass it; what more there are stays unknown.
const BYPASSING_BOXES: usize = 64;

/// What intrusion detection does with what it finds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum IntrusionMode {
    /// It does not look.
    #[default]
    Off,
    /// It tells.
    Alert,
    /// It tells and denies.
    Deny,
}

/// The intrusion detection of one policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntrusionDetection {
    /// What signatures do that say nothing else.
    pub mode: IntrusionMode,
    /// Whether a signature of its own denies.
    pub has_denying_signature: bool,
    /// The packets that it does not look at; their rules have no verdict.
    pub bypasses: Vec<FirewallRule>,
}

impl IntrusionDetection {
    /// Reads it from the properties of a policy; nothing where they have none.
    pub(super) fn read(
        place: &str,
        properties: &Map<String, Value>,
    ) -> Result<Option<Self>, FieldError> {
        let field = "intrusionDetection";
        let fields = match properties.get(field) {
            None | Some(Value::Null) => return Ok(None),
            Some(value) => object(place, field, value)?,
        };
        let mut detection = Self {
            mode: mode(place, "intrusionDetection.mode", fields)?,
            has_denying_signature: false,
            bypasses: Vec::new(),
        };
        let configuration = match fields.get("configuration") {
            None | Some(Value::Null) => return Ok(Some(detection)),
            Some(value) => object(place, "intrusionDetection.configuration", value)?,
        };
        for signature in items(place, "signatureOverrides", configuration)? {
            let signature = object(place, "signatureOverrides[]", signature)?;
            let own = mode(place, "signatureOverrides[].mode", signature)?;
            detection.has_denying_signature |= own == IntrusionMode::Deny;
        }
        for bypass in items(place, "bypassTrafficSettings", configuration)? {
            let bypass = object(place, "bypassTrafficSettings[]", bypass)?;
            detection.bypasses.push(read_bypass(place, bypass)?);
        }
        Ok(Some(detection))
    }
}

fn read_bypass(place: &str, fields: &Map<String, Value>) -> Result<FirewallRule, FieldError> {
    let name = text(place, "name", fields)?.unwrap_or_else(|| "without a name".to_owned());
    let place = format!("bypass {} of {place}", excerpt(&name));
    let list = |field| texts(&place, field, fields);
    Ok(FirewallRule {
        kind: RuleKind::Network,
        protocols: text(&place, "protocol", fields)?.into_iter().collect(),
        sources: list("sourceAddresses")?,
        source_ip_groups: list("sourceIpGroups")?,
        destinations: list("destinationAddresses")?,
        destination_ip_groups: list("destinationIpGroups")?,
        destination_names: Vec::new(),
        destination_ports: list("destinationPorts")?,
        name,
    })
}

fn mode(
    place: &str,
    field: &str,
    fields: &Map<String, Value>,
) -> Result<IntrusionMode, FieldError> {
    let Some(mode) = text(place, "mode", fields)? else {
        return Ok(IntrusionMode::Off);
    };
    match mode.to_ascii_lowercase().as_str() {
        "off" => Ok(IntrusionMode::Off),
        "alert" => Ok(IntrusionMode::Alert),
        "deny" => Ok(IntrusionMode::Deny),
        _ => Err(invalid(
            place,
            field,
            &Value::from(mode),
            "Off, Alert or Deny",
        )),
    }
}

/// The packets that certainly bypass what denies, by boxes; nothing where nothing denies.
/// The mode in force is the strictest of the policy's and its parents'. Which of their
/// bypasses hold for the others' signatures is not documented: only packets that each of
/// them lets by are certain.
pub(super) fn bypassing(
    levels: &[IntrusionDetection],
    tags: &TagContext,
) -> Result<Option<Vec<FlowBox>>, FieldError> {
    let strictest = levels.iter().map(|level| level.mode).max();
    let denies = |level: &&IntrusionDetection| match strictest {
        None | Some(IntrusionMode::Off) => false,
        Some(IntrusionMode::Alert | IntrusionMode::Deny) => {
            level.mode == IntrusionMode::Deny || level.has_denying_signature
        }
    };
    let mut certain: Option<Vec<FlowBox>> = None;
    for level in levels.iter().filter(denies) {
        let mut here = Vec::new();
        for bypass in &level.bypasses {
            let place = format!("bypass {}", excerpt(&bypass.name));
            // Addresses that are not known are left out.
            here.push(matches(bypass, tags).map_err(|error| error.at(place))?.flow);
        }
        let mut both: Vec<FlowBox> = match certain {
            None => here,
            Some(before) => before
                .iter()
                .flat_map(|flow| here.iter().map(|other| flow.intersection(other)))
                .collect(),
        };
        both.retain(|flow| !flow.is_empty());
        both.truncate(BYPASSING_BOXES);
        certain = Some(both);
    }
    Ok(certain)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::firewall::{Firewall, FirewallError};
    use crate::policy::{Policy, Verdict};
    use crate::set::{Packet, PacketSet, Space};

    /// What policies with this intrusion detection, the first the parent of the second, do
    /// with packets that their rules allow.
    fn firewall(detections: &[Value]) -> Result<Firewall, FirewallError> {
        let rule = json!({ "ruleType": "NetworkRule", "name": "web", "ipProtocols": ["TCP"],
            "sourceAddresses": ["10.0.0.0/8"], "destinationAddresses": ["*"],
            "destinationPorts": ["8443"] });
        let open = json!({ "name": "open", "priority": 100, "action": { "type": "Allow" },
            "rules": [rule] });
        let group = [json!({ "name": "g", "properties": {
            "priority": 100, "ruleCollections": [open] } })];
        let policy = |(index, detection): (usize, &Value)| {
            let mut policy = json!({ "name": format!("p{index}"), "properties": {
                "intrusionDetection": detection } });
            if index > 0 {
                policy["properties"]["basePolicy"] = json!({ "id": format!("p{}", index - 1) });
            }
            policy
        };
        let policies: Vec<Value> = detections.iter().enumerate().map(policy).collect();
        let levels: Vec<(&Value, &[Value])> =
            policies.iter().map(|policy| (policy, &group[..])).collect();
        Firewall::from_policies(&levels)
    }

    fn verdict(detections: &[Value], from: &str, to: &str, port: u16) -> Verdict {
        let policy = firewall(detections).unwrap().policy(&TagContext::new());
        let packet = Packet::new_tcp(from.parse().unwrap(), to.parse().unwrap(), port);
        let mut space = Space::new();
        let decisions = policy.unwrap().decide(&mut space, PacketSet::ALL).unwrap();
        decisions.answer(&mut space, &packet).unwrap().verdict
    }

    fn of_web(detections: &[Value]) -> Verdict {
        verdict(detections, "10.1.0.4", "20.1.0.4", 8_443)
    }

    fn mode(mode: &str) -> Value {
        json!({ "mode": mode })
    }

    #[test]
    fn where_a_signature_may_deny_it_is_unknown_what_passes_and_certain_what_does_not() {
        let overridden = |mode: &str, own: &str| {
            json!({ "mode": mode, "configuration": {
                "signatureOverrides": [{ "id": "2525004", "mode": own }] } })
        };
        for (detection, expected) in [
            (Value::Null, Verdict::Allow),
            (json!({}), Verdict::Allow),
            (mode("Off"), Verdict::Allow),
            (mode("Alert"), Verdict::Allow),
            (mode("deny"), Verdict::Unknown),
            (overridden("Alert", "Deny"), Verdict::Unknown),
            (overridden("Alert", "Alert"), Verdict::Allow),
            (overridden("Off", "Deny"), Verdict::Allow),
        ] {
            let detection = [detection];
            assert_eq!(of_web(&detection), expected, "{}", detection[0]);
            let other = verdict(&detection, "10.1.0.4", "20.1.0.4", 22);
            assert_eq!(other, Verdict::Deny, "{}", detection[0]);
        }
    }

    #[test]
    fn a_policy_is_at_least_as_strict_as_its_parent() {
        let modes = ["Off", "Alert", "Deny"];
        for parent in modes {
            for child in modes {
                let expected = match [parent, child].contains(&"Deny") {
                    true => Verdict::Unknown,
                    false => Verdict::Allow,
                };
                let both = [mode(parent), mode(child)];
                assert_eq!(of_web(&both), expected, "{parent} {child}");
            }
        }
    }

    fn bypass(from: &str, to: &str) -> Value {
        json!({ "mode": "Deny", "configuration": { "bypassTrafficSettings": [{
            "name": "known", "protocol": "TCP", "sourceAddresses": [from],
            "destinationAddresses": [to], "destinationPorts": ["*"] }] } })
    }

    #[test]
    fn rules_alone_decide_what_bypasses_it() {
        let detection = [bypass("10.1.0.0/16", "20.0.0.0/8")];
        let ask = |from: &str, to: &str, port: u16| verdict(&detection, from, to, port);
        assert_eq!(ask("10.1.0.4", "20.1.0.4", 8_443), Verdict::Allow);
        assert_eq!(ask("10.1.0.4", "20.1.0.4", 22), Verdict::Deny);
        assert_eq!(ask("10.2.0.4", "20.1.0.4", 8_443), Verdict::Unknown);
        assert_eq!(ask("10.1.0.4", "30.1.0.4", 8_443), Verdict::Unknown);
        // Where two policies deny, each has to let it by.
        let both = [detection[0].clone(), bypass("10.0.0.0/8", "20.1.0.0/16")];
        let ask = |to: &str| verdict(&both, "10.1.0.4", to, 8_443);
        assert_eq!(ask("20.1.0.4"), Verdict::Allow);
        assert_eq!(ask("20.2.0.4"), Verdict::Unknown);
    }

    #[test]
    fn a_bypass_of_addresses_that_are_not_known_is_none() {
        assert_eq!(of_web(&[bypass("AzureCloud", "*")]), Verdict::Unknown);
    }

    #[test]
    fn what_cannot_be_intrusion_detection_is_refused_with_its_field() {
        for (detection, field) in [
            (json!("Deny"), "intrusionDetection"),
            (mode("Block"), "intrusionDetection.mode"),
            (
                json!({ "configuration": { "signatureOverrides": [{ "mode": "No" }] } }),
                "signatureOverrides[].mode",
            ),
            (
                json!({ "mode": "Deny", "configuration": { "bypassTrafficSettings": {} } }),
                "bypassTrafficSettings",
            ),
            (bypass("010.0.0.0/8", "*"), "sourceAddresses"),
        ] {
            let firewall = firewall(&[detection]);
            let read = firewall.and_then(|one| one.policy(&TagContext::new()).map(drop));
            let error = read.unwrap_err();
            assert_eq!(error.code(), "field_value_invalid", "{error}");
            assert!(error.to_string().contains(field), "{error}");
        }
    }
}
