//! What a node passes on, and fragments.

use serde_json::json;

use crate::{json, words};

#[test]
fn what_a_node_passes_on_meets_forward_and_not_input() {
    let ask = |port: &str, known: &str| {
        json(&format!(
            "explain --direction forwarded --iptables node-forward.save --from 10.20.1.4 \
             --to 10.244.1.7 --port {port}/tcp {known}"
        ))
    };
    let allowed = ask("9090", "");
    assert_eq!(allowed["verdict"], "allow");
    assert_eq!(allowed["deciding_rules"][0]["chain"], "FORWARD");
    assert!(allowed["packet"].as_str().unwrap().starts_with("forwarded"));
    let by_policy = ask("443", "");
    assert_eq!(by_policy["verdict"], "deny");
    assert_eq!(by_policy["deciding_rules"][0]["chain"], "FORWARD");
    // The interfaces are not known until they are told.
    assert_eq!(ask("8080", "")["verdict"], "unknown");
    let known = |out: &str| format!("--in-interface eth0 --out-interface {out}");
    assert_eq!(ask("8080", &known("azv7"))["verdict"], "allow");
    assert_eq!(ask("8080", &known("eth1"))["verdict"], "deny");
    // What goes from one of the node's addresses to another is not passed on.
    let own = "--node-address 10.20.1.4/16 --node-address 10.244.1.7/32";
    assert_eq!(ask("443", own)["verdict"], "allow");
}

#[test]
fn rules_for_fragments_are_told_to_match_no_whole_packet() {
    let change =
        json("delta --kind iptables --before node-forward.save --after node-forward-whole.save");
    for part in ["newly_allowed", "newly_denied", "unknown"] {
        assert_eq!(change[part], json!([]), "{change:#}");
    }
    let notes = change["notes"].to_string();
    assert!(notes.contains("rules with -f"), "{notes}");
    let page = words(
        "explain --direction forwarded --iptables node-forward.save --from 10.20.1.4 \
         --to 10.244.1.7 --port 9090/tcp",
    );
    assert!(
        page.contains("rules with -f are about later fragments"),
        "{page}"
    );
    let without = json("delta --kind iptables --before node.save --after node-mended.save");
    assert_eq!(without["notes"], json!([]));
}
