//! The security groups one network interface is behind, in Azure's order.

use super::error::NsgError;
use super::group::Nsg;
use super::rule::Direction;
use super::tags::TagContext;
use crate::policy::{Decisions, Policy, RulePolicy, Verdict};
use crate::set::{self, AnalysisTooComplex, FlowBox, PacketSet, Space};

/// The policy of one network interface: inbound the subnet's group and then the
/// interface's, outbound the other way round; traffic inside the subnet included. No
/// group lets everything pass. Security admin rules come before
/// ([`super::AdminPolicy::before`]).
#[derive(Debug, Clone)]
pub struct NsgChain {
    name: String,
    subnet: RulePolicy,
    interface: RulePolicy,
}

impl NsgChain {
    /// The chain of an interface.
    ///
    /// # Errors
    /// [`NsgError`] naming the rule and the field.
    pub fn new(
        name: impl Into<String>,
        subnet: Option<&Nsg>,
        interface: Option<&Nsg>,
        tags: &TagContext,
    ) -> Result<Self, NsgError> {
        let policy = |group: Option<&Nsg>, place: &str| match group {
            Some(group) => group.policy(tags),
            None => Ok(RulePolicy::constant(
                format!("no security group on the {place}"),
                "everything passes",
                Verdict::Allow,
            )),
        };
        Ok(Self {
            name: name.into(),
            subnet: policy(subnet, "subnet")?,
            interface: policy(interface, "interface")?,
        })
    }

    /// The subnet's and the interface's decisions for one direction.
    fn groups(
        &self,
        space: &mut Space,
        direction: Direction,
        within: PacketSet,
    ) -> Result<Decisions, AnalysisTooComplex> {
        let (first, second) = match direction {
            Direction::Inbound => (&self.subnet, &self.interface),
            Direction::Outbound => (&self.interface, &self.subnet),
        };
        let first = first.decide(space, within)?;
        let second = second.decide(space, within)?;
        first.then(space, &second)
    }
}

impl Policy for NsgChain {
    fn name(&self) -> &str {
        &self.name
    }

    fn decide(
        &self,
        space: &mut Space,
        within: PacketSet,
    ) -> Result<Decisions, AnalysisTooComplex> {
        let mut side = |direction: Direction| {
            let facing = set::Direction::from(direction);
            let packets = space.flow(&FlowBox::any().with_direction(facing))?;
            let packets = space.intersection(within, packets)?;
            self.groups(space, direction, packets)
        };
        let (inbound, outbound) = (side(Direction::Inbound)?, side(Direction::Outbound)?);
        inbound.or_else(space, &outbound)
    }
}
