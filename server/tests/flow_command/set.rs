//! `naosu flow explain` about prefixes, ranges and lists.

use serde_json::{Value, json};

use crate::{json, text};

const NODES: &str = "explain --nsg nsg-open.json --vnet-prefix 10.20.0.0/16";

/// Names of the rules that stop packets, with what they stop of which sources.
fn stops(answer: &Value) -> Vec<(&str, Vec<String>)> {
    let stops = answer["stops"].as_array().unwrap();
    stops
        .iter()
        .map(|stop| {
            let boxes = stop["part"]["packets"].as_array().unwrap();
            let sources = boxes.iter().map(|flow| flow["src"].to_string()).collect();
            (stop["rule"]["rule"].as_str().unwrap(), sources)
        })
        .collect()
}

#[test]
fn of_a_prefix_the_rule_that_stops_is_named_with_the_part_it_stops() {
    let answer = json(&format!(
        "{NODES} --from 10.20.0.0/16 --to 10.20.0.5 --port 10250/tcp"
    ));
    assert_eq!(answer["question"], "explain_set");
    assert_eq!(answer["verdict"], "deny");
    let expected = vec![
        r#"["10.20.0.0/30","10.20.0.4/32","10.20.0.6-10.20.0.255","10.20.2.0-10.20.255.255"]"#
            .to_owned(),
    ];
    assert_eq!(stops(&answer), [("deny-kubelet", expected)]);
    assert_eq!(answer["stops"][0]["rule"]["priority"], 200);
    // What the machine sends to itself does not come to its group.
    let allowed = &answer["allowed"];
    assert_eq!(
        allowed["packets"],
        json!([{
            "direction": "inbound", "src": ["10.20.0.5", "10.20.1.0/24"], "dst": ["10.20.0.5"],
            "protocol": "TCP", "ports": ["10250"], "source_ports": ["0-65535"],
            "state": ["new"], "conditions": [],
        }])
    );
    assert_eq!(
        allowed["sample"],
        "TCP from 10.20.1.0 port 49152 to 10.20.0.5 port 10250"
    );
    assert_eq!(answer["unknown"]["packets"], json!([]));
    assert!(answer["unknown"].get("sample").is_none());
}

#[test]
fn a_sample_of_each_part_asked_about_alone_has_the_verdict_of_its_part() {
    let whole = json(&format!(
        "{NODES} --from 10.20.0.0/16,203.0.113.0/24 --to 10.20.0.0/24 \
         --port 10250/tcp,8443/tcp"
    ));
    let mut seen = 0;
    for (part, verdict) in [
        ("allowed", "allow"),
        ("denied", "deny"),
        ("unknown", "unknown"),
    ] {
        let Some(sample) = whole[part]["sample"].as_str() else {
            continue;
        };
        // "TCP from A port P to B port Q"
        let words: Vec<&str> = sample.split(' ').collect();
        let [_, _, from, _, source_port, _, to, _, port] = words.as_slice() else {
            panic!("{sample}");
        };
        let one = json(&format!(
            "{NODES} --from {from} --to {to} --port {port}/tcp --source-port {source_port}"
        ));
        assert_eq!(one["verdict"], verdict, "{part}: {sample}");
        seen += 1;
    }
    assert_eq!(seen, 3, "{whole:#}");
    let atoms = whole["atoms"].as_array().unwrap();
    assert!(
        atoms.iter().any(|atom| {
            atom["name"]
                .as_str()
                .unwrap()
                .contains("storage.northsample")
                && atom["reason"].as_str().unwrap().contains("not observed")
        }),
        "{whole:#}"
    );
}

#[test]
fn a_part_that_is_not_known_names_the_rule_that_may_stop_it_and_on_what_it_depends() {
    let answer = json(&format!(
        "{NODES} --from 203.0.113.0/24 --to 10.20.0.5 --port 8443/tcp"
    ));
    assert_eq!(answer["verdict"], "unknown");
    assert_eq!(stops(&answer)[0].0, "DenyAllInBound");
    let conditions = &answer["stops"][0]["part"]["packets"][0]["conditions"];
    assert!(
        conditions[0]
            .as_str()
            .unwrap()
            .contains("storage.northsample")
    );
    assert_eq!(answer["allowed"]["packets"], json!([]));
}

#[test]
fn ports_are_asked_about_as_ranges_and_lists_of_several_protocols() {
    let answer = json(&format!(
        "{NODES} --from 10.20.1.4 --to 10.20.0.5 --port 10249-10251/tcp,53/udp"
    ));
    assert_eq!(answer["asked"].as_array().unwrap().len(), 2);
    // The virtual network may talk to itself; the agents reach the kubelet.
    assert_eq!(answer["verdict"], "allow");
    let denied = json(&format!(
        "{NODES} --from 10.20.2.4 --to 10.20.0.5 --port 10249-10251/tcp"
    ));
    assert_eq!(denied["denied"]["packets"][0]["ports"], json!(["10250"]));
    assert_eq!(
        denied["allowed"]["packets"][0]["ports"],
        json!(["10249", "10251"])
    );
}

#[test]
fn rules_of_a_node_are_named_with_their_lines_for_each_part() {
    let answer = json(
        "explain --iptables node.save --from 10.20.0.0/16 --to 10.20.0.5 \
         --port 10250/tcp,9443/tcp",
    );
    let guard = &answer["stops"][0]["rule"];
    assert_eq!(
        (&guard["line"], &guard["chain"]),
        (&json!(10), &json!("GUARD"))
    );
    let unread = &answer["stops"][1]["rule"];
    assert_eq!(
        (&unread["line"], &unread["chain"]),
        (&json!(9), &json!("INPUT"))
    );
    let conditions = &answer["stops"][1]["part"]["packets"][0]["conditions"];
    assert!(conditions[0].as_str().unwrap().contains("string"));
    assert_eq!(answer["unknown"]["packets"][0]["ports"], json!(["9443"]));
}

#[test]
fn one_address_written_as_a_prefix_is_one_packet() {
    let answer = json(&format!(
        "{NODES} --from 10.20.1.4/32 --to 10.20.0.5 --port 10250-10250/tcp"
    ));
    assert_eq!(answer["question"], "explain");
}

#[test]
fn the_text_of_a_set_is_a_page_of_80_columns() {
    let page = text(&format!(
        "{NODES} --from 10.20.0.0/16,203.0.113.0/24 --to 10.20.0.0/24 --port 10250/tcp,8443/tcp"
    ));
    assert!(
        page.lines().all(|line| line.chars().count() <= 80),
        "{page}"
    );
    insta::assert_snapshot!(page);
}
