//! `naosu flow delta`.

use serde_json::json;

use crate::{json, words};

#[test]
fn a_rule_added_to_a_security_group_opens_exactly_its_packets() {
    let opened = json(
        "delta --kind nsg --before nsg-closed.json --after nsg-open.json \
         --vnet-prefix 10.20.0.0/16",
    );
    let boxes = opened["newly_allowed"].as_array().unwrap();
    assert_eq!(boxes.len(), 1, "{opened:#}");
    assert_eq!(boxes[0]["src"], json!(["10.20.1.0/24"]));
    assert_eq!(boxes[0]["dst"], json!(["10.20.0.0/16"]));
    assert_eq!(boxes[0]["protocol"], "TCP");
    assert_eq!(boxes[0]["ports"], json!(["10250"]));
    assert_eq!(opened["newly_denied"], json!([]));
    assert_eq!(opened["unknown"], json!([]));

    let closed = json("delta --kind nsg --before nsg-open.json --after nsg-closed.json");
    assert_eq!(closed["newly_denied"], opened["newly_allowed"]);
    assert_eq!(closed["newly_allowed"], json!([]));
}

#[test]
fn a_security_group_opens_nothing_that_security_admin_rules_decide() {
    let opened = json(
        "delta --kind nsg --before nsg-closed.json --after nsg-open.json \
         --vnet-prefix 10.20.0.0/16 --admin-rules admin-rules.json",
    );
    let boxes = opened["newly_allowed"].as_array().unwrap();
    assert_eq!(boxes.len(), 1, "{opened:#}");
    assert_eq!(boxes[0]["src"], json!(["10.20.1.128/25"]));
}

#[test]
fn a_change_that_depends_on_a_service_tag_is_unknown_with_its_reason() {
    let change = json("delta --kind nsg --before nsg-closed.json --after nsg-unknown.json");
    assert!(!change["unknown"].as_array().unwrap().is_empty());
    let atoms = change["atoms"].as_array().unwrap();
    assert!(atoms.iter().any(|atom| {
        atom["name"]
            .as_str()
            .unwrap()
            .contains("storage.northsample")
            && atom["reason"].as_str().unwrap().contains("not observed")
    }));
}

#[test]
fn a_rule_deleted_from_iptables_opens_what_it_alone_closed() {
    let change = json("delta --kind iptables --before node.save --after node-mended.save");
    assert_eq!(change["newly_denied"], json!([]));
    assert_eq!(change["unknown"], json!([]), "{change:#}");
    let boxes = change["newly_allowed"].as_array().unwrap();
    assert!(!boxes.is_empty());
    for opened in boxes {
        assert_eq!(opened["direction"], "inbound");
        assert_eq!(opened["ports"], json!(["10250"]));
        // The neighbours of the source that an earlier rule accepts.
        assert_eq!(
            opened["src"],
            json!(["10.20.0.0/24", "10.20.2.0-10.20.255.255"])
        );
    }
}

#[test]
fn the_same_rules_change_nothing() {
    for ask in [
        "delta --kind nsg --before nsg-open.json --after nsg-open.json",
        "delta --kind iptables --before node.save --after node.save",
        "delta --kind ip6tables --before node-ipv6.save --after node-ipv6.save",
    ] {
        let change = json(ask);
        for part in ["newly_allowed", "newly_denied", "unknown"] {
            assert_eq!(change[part], json!([]), "{ask}");
        }
    }
}

#[test]
fn the_text_lists_what_changes_in_words() {
    let page = words("delta --kind nsg --before nsg-closed.json --after nsg-open.json");
    assert!(
        page.contains("Newly allowed: + inbound TCP 10250 from 10.20.1.0/24 to 10.20.0.0/16"),
        "{page}"
    );
    assert!(page.contains("Newly denied: nothing"), "{page}");
}
