//! What rules of a group do not decide: services of the Azure platform, and ICMPv6.
//!
//! Microsoft: DHCP, DNS, instance metadata and health monitoring are provided through
//! 168.63.129.16 and 169.254.169.254, and "by default, these services aren't subject
//! to the configured network security groups unless targeted by service tags specific
//! to each service". What comes from 168.63.129.16 is: health probes need a rule, which
//! is why a default rule lets `AzureLoadBalancer` in. And "ICMPv6 isn't currently
//! supported in network security groups", so that no rule tells what becomes of it.

use std::sync::LazyLock;

use super::group::Nsg;
use super::rule::{Access, Direction, NsgRule};
use super::tags::TagContext;
use crate::field::FieldError;
use crate::platform::{METADATA_ADDRESS, PLATFORM_ADDRESS};
use crate::policy::{Rule, Verdict};
use crate::set::{
    self, AddressSet, AnalysisTooComplex, ConnectionState, FlowBox, PacketSet, PortSet, Protocol,
    ProtocolSet, Space,
};

/// The name under which packets to the platform pass.
const PLATFORM: &str = "services of the Azure platform";

const ICMPV6: &str = "ICMPv6";

/// The tags that put the platform's services under the rules of a group.
const PLATFORM_TAGS: [&str; 3] = ["azureplatformdns", "azureplatformimds", "azureplatformlkm"];

/// New connections to the services, as far as Microsoft names their ports: DNS, DHCP,
/// the machine's agent, and metadata.
static SERVICES: LazyLock<[FlowBox; 4]> = LazyLock::new(|| {
    let one = |protocol: Protocol| ProtocolSet::single(protocol.0);
    let either = one(Protocol::TCP).union(&one(Protocol::UDP));
    let agent = PortSet::single(80_u16).union(&PortSet::single(32_526_u16));
    [
        (PLATFORM_ADDRESS, either, PortSet::single(53_u16)),
        (
            PLATFORM_ADDRESS,
            one(Protocol::UDP),
            PortSet::single(67_u16),
        ),
        (PLATFORM_ADDRESS, one(Protocol::TCP), agent),
        (
            METADATA_ADDRESS,
            one(Protocol::TCP),
            PortSet::single(80_u16),
        ),
    ]
    .map(|(address, protocols, ports)| {
        FlowBox::any()
            .with_direction(set::Direction::Outbound)
            .with_state(ConnectionState::New)
            .with_protocols(protocols)
            .with_destinations(AddressSet::host(address))
            .with_destination_ports(ports)
    })
});

static NEW_ICMPV6: LazyLock<FlowBox> = LazyLock::new(|| {
    FlowBox::any()
        .with_state(ConnectionState::New)
        .with_protocol(Protocol::ICMPV6)
        .with_sources(AddressSet::any_v6())
        .with_destinations(AddressSet::any_v6())
});

/// What comes before the rules of a group.
pub(super) fn before_rules(group: &Nsg, tags: &TagContext) -> Result<Vec<Rule>, FieldError> {
    let mut rules = vec![Rule {
        name: ICMPV6.to_owned(),
        matches: NEW_ICMPV6.clone().into(),
        verdict: Verdict::Unknown,
    }];
    let outbound = group.rules.iter();
    let outbound: Vec<&NsgRule> = outbound
        .filter(|rule| rule.direction == Direction::Outbound)
        .collect();
    // Where a rule overrides the exemption, those before it may allow what it denies;
    // a rule that denies without naming the service does not concern it.
    let targeted = outbound.iter().rposition(|rule| overrides(rule));
    let concerned = targeted.and_then(|last| outbound.get(..=last));
    for rule in concerned.unwrap_or_default() {
        if rule.access == Access::Deny && !overrides(rule) {
            continue;
        }
        let matches = rule.compile(tags)?;
        for service in SERVICES.iter() {
            rules.push(Rule {
                name: rule.name.clone(),
                matches: matches.inside(service),
                verdict: rule.access.into(),
            });
        }
    }
    rules.extend(SERVICES.iter().map(|service| Rule {
        name: PLATFORM.to_owned(),
        matches: service.clone().into(),
        verdict: Verdict::Allow,
    }));
    Ok(rules)
}

/// The packets for which the order of these rules does not matter.
pub(super) fn packets<'a>(
    space: &mut Space,
    rules: impl IntoIterator<Item = &'a NsgRule>,
) -> Result<PacketSet, AnalysisTooComplex> {
    let icmpv6 = space.flow(&NEW_ICMPV6)?;
    if rules.into_iter().any(overrides) {
        return Ok(icmpv6);
    }
    let mut sets = vec![icmpv6];
    for service in SERVICES.iter() {
        sets.push(space.flow(service)?);
    }
    space.union_all(sets)
}

/// Whether a rule denies a service of the platform by its tag.
fn overrides(rule: &NsgRule) -> bool {
    let is_tag = |prefix: &String| {
        let mut tags = PLATFORM_TAGS.iter();
        tags.any(|tag| prefix.eq_ignore_ascii_case(tag))
    };
    rule.direction == Direction::Outbound
        && rule.access == Access::Deny
        && rule.destination_prefixes.iter().any(is_tag)
}
