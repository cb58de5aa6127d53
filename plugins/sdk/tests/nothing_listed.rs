//! What is listed empty, or tells nothing, is no fact to conclude from.

use naosu_plugin::{
    NodeNetwork, Observed, PluginError, Query, TunnelNodes,
    arm::ManagedCluster,
    kubernetes::{Node, all_nodes},
    read_json,
    testing::{Estate, Recorded},
};
use serde_json::json;

fn network_of(recorded: &Recorded) -> Result<NodeNetwork, PluginError> {
    let cluster = Query::AzureGet(Estate::cluster().id);
    let cluster: Observed<ManagedCluster> = read_json(recorded, &cluster).unwrap();
    let nodes: Observed<Vec<Node>> = read_json(recorded, &all_nodes()).unwrap();
    NodeNetwork::observe(recorded, &cluster.value, &nodes.value)
}

#[test]
fn a_list_of_no_nodes_is_an_error() {
    let mut recorded = Estate::default().record();
    assert!(TunnelNodes::observe(&recorded, &Estate::cluster()).is_ok());
    assert!(network_of(&recorded).is_ok());
    recorded.put(all_nodes(), json!([]));
    let observed = TunnelNodes::observe(&recorded, &Estate::cluster()).err();
    for error in [observed, network_of(&recorded).err()] {
        assert!(
            matches!(&error, Some(PluginError::Malformed(_))),
            "{error:?}"
        );
    }
}

#[test]
fn a_network_that_does_not_tell_the_subnet_of_an_interface_is_an_error() {
    let mut recorded = Estate::default().record();
    let network = Query::AzureGet(Estate::default().virtual_network_id());
    for body in [json!({}), json!({ "properties": { "subnets": [] } })] {
        recorded.put(network.clone(), body);
        let Err(PluginError::Malformed(why)) = network_of(&recorded) else {
            panic!("subnets were made up");
        };
        assert!(why.contains("subnets/nodes"), "{why}");
    }
}
