//! The tunnel asked to carry: the kubelet of each node and a pod's log on it, through
//! the API server; and the way below the tunnel, from the agents' nodes.

mod answers;
mod ask;
mod from_agents;
mod logs;
mod nodes;

pub(crate) use answers::among;
pub(crate) use ask::{Looked, ask, look};
pub(crate) use from_agents::from_agents;
pub(crate) use nodes::{ClusterNode, all_nodes, nodes_in, read_nodes};
