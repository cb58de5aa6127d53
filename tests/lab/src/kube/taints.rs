//! Taints: which nodes take a pod, and which put it out.

use serde_json::Value;

use super::endings;
use super::objects::Objects;
use super::resource::ResourceType;
use super::selector::Selector;
use super::state::meta;

/// Whether a node would take a new pod of this specification.
pub(super) fn takes(node: &Value, pod_spec: &Value) -> bool {
    node["spec"]["unschedulable"] != true
        && taints(node, &["NoSchedule", "NoExecute"]).all(|taint| tolerates(pod_spec, taint))
}

/// Begins the way out of every pod on a node with a `NoExecute` taint that it does not tolerate.
pub(super) fn put_out(objects: &Objects, pods: &'static ResourceType, nodes: &[Value]) {
    for node in nodes {
        if taints(node, &["NoExecute"]).next().is_none() {
            continue;
        }
        let (all, _) = objects.list(pods, None, &Selector::default());
        let on_node = all
            .iter()
            .filter(|pod| pod["spec"]["nodeName"] == meta(node, "name"));
        for pod in on_node.filter(|pod| !endings::is_going(pod)) {
            let is_put_out =
                !taints(node, &["NoExecute"]).all(|taint| tolerates(&pod["spec"], taint));
            if is_put_out {
                endings::begin(objects, pods, pod, None);
            }
        }
    }
}

fn taints<'a>(node: &'a Value, effects: &'static [&str]) -> impl Iterator<Item = &'a Value> {
    let all = node["spec"]["taints"].as_array().into_iter().flatten();
    all.filter(move |taint| {
        let effect = taint["effect"].as_str();
        effect.is_some_and(|effect| effects.contains(&effect))
    })
}

/// As Kubernetes has it: no effect is every effect, no key with `Exists` every key.
fn tolerates(pod_spec: &Value, taint: &Value) -> bool {
    let mut tolerations = pod_spec["tolerations"].as_array().into_iter().flatten();
    tolerations.any(|toleration| {
        let text =
            |object: &Value, field: &str| object[field].as_str().unwrap_or_default().to_owned();
        let (key, effect) = (text(toleration, "key"), text(toleration, "effect"));
        let is_of_key = key == text(taint, "key");
        let is_of_value = match toleration["operator"].as_str() {
            Some("Exists") => key.is_empty() || is_of_key,
            _ => is_of_key && text(toleration, "value") == text(taint, "value"),
        };
        is_of_value && (effect.is_empty() || effect == text(taint, "effect"))
    })
}
