//! Whether a NAT gateway is needed, or more ports of the load balancer can be enough.

use naosu_plugin::{
    PluginError, Reads,
    snat::{SnatJudgement, Supply},
};

/// Whether it is.
pub enum Need {
    /// No number of ports that can be allocated is enough; why.
    Gateway(String),
    /// More ports can be; what to do instead.
    MorePorts(String),
}

impl Need {
    /// Holds what the busiest node would have had enough with against the most
    /// that AKS allows a node.
    ///
    /// # Errors
    /// When what AKS allows is not known.
    pub fn of(reads: &dyn Reads, judged: &SnatJudgement) -> Result<Self, PluginError> {
        let supply = Supply::observe(reads, judged)?;
        let (most, demand) = (supply.most(), judged.demand_of_a_node);
        match supply.sizing(None) {
            Ok(_) if (most as f64) < demand => Ok(Self::Gateway(format!(
                "at most {most} ports a node can be allocated, and the busiest node would have \
                 needed {demand:.0}"
            ))),
            Ok(sizing) => Ok(Self::MorePorts(format!(
                "a NAT gateway is not needed: {} ports a node can be allocated on {} outbound \
                 addresses, and up to {most}, where the busiest node would have needed \
                 {demand:.0}; plan with snat-outbound-ports, or with prefer_gateway to change \
                 all the same",
                sizing.ports, sizing.addresses
            ))),
            Err(PluginError::Infeasible(no_more)) => Ok(Self::Gateway(no_more)),
            Err(error) => Err(error),
        }
    }
}
