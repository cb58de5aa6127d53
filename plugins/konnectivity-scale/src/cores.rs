//! Cores of the nodes, as the autoscaler counts them.

use naosu_plugin::{PluginError, Reads, kubernetes::all_nodes, read_json};
use serde::Deserialize;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Node {
    spec: Spec,
    status: Status,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Spec {
    unschedulable: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    allocatable: Resources,
    capacity: Resources,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Resources {
    cpu: Option<String>,
}

/// Cores that nodes give to pods, parts of one rounded up; those of nodes that take
/// no new pods do not count. `None` where a node does not tell.
///
/// # Errors
/// When nodes cannot be read.
pub fn of_nodes(reads: &dyn Reads) -> Result<Option<u32>, PluginError> {
    let nodes = read_json::<Vec<Node>>(reads, &all_nodes())?.value;
    let mut schedulable = nodes.iter().filter(|node| !node.spec.unschedulable);
    let sum = schedulable.try_fold(0_u64, |sum, node| {
        let status = &node.status;
        let cpu = status
            .allocatable
            .cpu
            .as_ref()
            .or(status.capacity.cpu.as_ref());
        sum.checked_add(millicores(cpu?)?)
    });
    Ok(sum.and_then(|sum| u32::try_from(sum.div_ceil(1000)).ok()))
}

/// A quantity of cores as nodes have it: "4", "3.86" or "3860m".
fn millicores(quantity: &str) -> Option<u64> {
    if let Some(millicores) = quantity.strip_suffix('m') {
        return digits(millicores);
    }
    let (whole, part) = quantity.split_once('.').unwrap_or((quantity, "0"));
    let part = part.get(..3).unwrap_or(part);
    let scale = 10_u64.checked_pow(3_u32.checked_sub(u32::try_from(part.len()).ok()?)?)?;
    let part = digits(part)?.checked_mul(scale)?;
    digits(whole)?.checked_mul(1000)?.checked_add(part)
}

/// A number of digits alone.
fn digits(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use naosu_plugin::testing::Recorded;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn quantities_are_read_as_kubernetes_writes_them_and_others_are_not_known() {
        for (text, expected) in [
            ("4", Some(4000)),
            ("3860m", Some(3860)),
            ("3.86", Some(3860)),
            ("0.5", Some(500)),
            ("1.23456", Some(1234)),
            ("", None),
            ("m", None),
            (".5", None),
            ("1.", None),
            ("-1", None),
            ("+1", None),
            ("4k", None),
            ("1e3", None),
            ("1.é9", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(millicores(text), expected, "{text:?}");
        }
    }

    #[test]
    fn cores_of_nodes_that_take_pods_are_added_and_one_that_is_silent_leaves_them_unknown() {
        let node = |cpu: Value, unschedulable: bool| {
            json!({ "spec": { "unschedulable": unschedulable }, "status": {
                "allocatable": { "cpu": cpu }, "capacity": { "cpu": "8" } } })
        };
        for (nodes, expected) in [
            (
                json!([node(json!("3860m"), false), node(json!("1900m"), false)]),
                Some(6),
            ),
            (
                json!([node(json!("2"), false), node(json!("64"), true)]),
                Some(2),
            ),
            (json!([node(Value::Null, false)]), Some(8)),
            (json!([node(json!("2"), false), {}]), None),
            (json!([node(json!("many"), false)]), None),
        ] {
            let mut recorded = Recorded::default();
            recorded.put(all_nodes(), &nodes);
            assert_eq!(of_nodes(&recorded).unwrap(), expected, "{nodes}");
        }
    }
}
