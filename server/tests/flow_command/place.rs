//! `naosu flow place`.

use serde_json::json;

use crate::{json, text};

const TIGHT: &str = "place --nsg nsg-tight.json --name allow-kubelet --from 10.224.0.0/16 \
     --rule-from 10.0.0.0/8 --to 10.224.0.0/16 --port 10250/tcp --vnet-prefix 10.224.0.0/16";

#[test]
fn a_free_number_right_before_the_blocking_rule_is_found_with_its_delta() {
    let answer = json(
        "place --nsg nsg-open.json --name allow-more --from 10.20.2.0/24 --to 10.20.0.0/16 \
         --port 10250/tcp --vnet-prefix 10.20.0.0/16",
    );
    assert_eq!(answer["question"], "place");
    assert_eq!(answer["outcome"], "placed");
    assert_eq!(answer["rule"]["priority"], 199);
    assert_eq!(answer["rule"]["protocol"], "Tcp");
    assert_eq!(
        answer["before"],
        json!({"rule": "deny-kubelet", "priority": 200})
    );
    assert_eq!(answer["renumbered"], json!([]));
    assert_eq!(
        answer["delta"]["newly_allowed"][0]["src"],
        json!(["10.20.2.0/24"])
    );
    assert_eq!(answer["delta"]["newly_denied"], json!([]));
}

#[test]
fn where_no_number_is_free_the_smallest_renumbering_is_told() {
    let answer = json(TIGHT);
    assert_eq!(answer["rule"]["priority"], 101);
    assert_eq!(
        answer["after"],
        json!([{"rule": "deny-guests", "priority": 100}])
    );
    assert_eq!(
        answer["renumbered"],
        json!([
            {"rule": "deny-low", "from": 101, "to": 102},
            {"rule": "allow-middle", "from": 102, "to": 103},
        ])
    );
}

#[test]
fn a_rule_may_match_more_than_it_is_needed_for_and_leaves_stricter_ones_in_force() {
    let answer = json(&format!("{TIGHT} --vnet-prefix 10.9.0.0/16"));
    assert!(
        !answer["delta"].to_string().contains("10.9.0.0"),
        "{answer:#}"
    );
    let by_tag = json(&TIGHT.replace("10.0.0.0/8", "VirtualNetwork"));
    assert_eq!(by_tag["rule"]["source_prefixes"], json!(["VirtualNetwork"]));
    assert_eq!(by_tag["before"]["rule"], "deny-low");
}

/// So many rules, none of which may pass the next, before one that allows.
fn row(count: u16) -> String {
    let rules: Vec<_> = (0..=count)
        .map(|at| {
            let ports = if at == count {
                "1-20000".to_owned()
            } else {
                format!("{}-10260", 10_250 - at)
            };
            json!({"name": format!("r{at}"), "properties": {
                "access": if at % 2 == 1 { "Allow" } else { "Deny" },
                "direction": "Inbound", "priority": 100 + at, "protocol": "Tcp",
                "sourceAddressPrefix": "*", "sourcePortRange": "*",
                "destinationAddressPrefix": "*", "destinationPortRange": ports,
            }})
        })
        .collect();
    json!({"name": "row", "properties": {"securityRules": rules}}).to_string()
}

#[test]
fn moves_are_called_the_fewest_where_that_is_proved_and_only_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("row.json");
    let ask = format!(
        "place --nsg {} --name allow-kubelet --from 10.224.0.4 --rule-from 10.0.0.0/8 \
         --to 10.224.0.5 --rule-to * --port 10250/tcp",
        path.display()
    );
    for (others, is_fewest) in [(9, true), (899, false)] {
        std::fs::write(&path, row(others)).unwrap();
        let answer = json(&ask);
        let moved = answer["renumbered"].as_array().unwrap().len();
        assert_eq!(moved, usize::from(others) + 1);
        assert_eq!(answer["is_fewest"], is_fewest);
        let text = text(&ask);
        assert_eq!(text.contains("moving fewer rules might do"), !is_fewest);
    }
    assert_eq!(json(TIGHT)["is_fewest"], true);
    assert!(!text(TIGHT).contains("fewer"));
}

#[test]
fn a_rule_for_any_address_is_written_as_arm_writes_it() {
    for any in ["*", "Any", "any"] {
        let answer = json(&TIGHT.replace("10.0.0.0/8", any));
        assert_eq!(answer["rule"]["source_prefixes"], json!(["*"]), "{any}");
    }
}

#[test]
fn where_no_renumbering_helps_packets_show_why() {
    let answer = json(&format!("{TIGHT} --pin deny-guests --pin deny-low"));
    assert_eq!(answer["outcome"], "no_free_priority");
    assert_eq!(answer["before"], "deny-low");
    assert_eq!(answer["after"], "deny-guests");
    assert_eq!(answer["all_were_tried"], true);
    for packet in ["still_stopped", "wrongly_decided"] {
        let packet = answer[packet].as_str().unwrap();
        assert!(packet.contains("port 10250"), "{packet}");
    }
}

#[test]
fn a_rule_that_is_not_needed_is_said_to_be_none() {
    let answer = json(
        "place --nsg nsg-open.json --name allow-more --from 10.20.1.0/24 --to 10.20.0.0/16 \
         --port 10250/tcp --vnet-prefix 10.20.0.0/16",
    );
    assert_eq!(
        answer,
        json!({"question": "place", "outcome": "already_in_force"})
    );
}

#[test]
fn a_rule_that_denies_is_placed_before_what_allows() {
    let answer = json(
        "place --nsg nsg-open.json --name deny-agents --access deny --from 10.20.1.0/24 \
         --to 10.20.0.0/16 --port 10250/tcp --vnet-prefix 10.20.0.0/16",
    );
    assert_eq!(answer["rule"]["priority"], 149);
    assert_eq!(answer["before"]["rule"], "allow-agents");
    assert_eq!(answer["delta"]["newly_allowed"], json!([]));
}

#[test]
fn the_texts_of_the_three_outcomes_are_pages_of_80_columns() {
    for (name, arguments) in [
        (
            "free",
            "place --nsg nsg-open.json --name allow-more --from 10.20.2.0/24 --to 10.20.0.0/16 \
             --port 10250/tcp --vnet-prefix 10.20.0.0/16"
                .to_owned(),
        ),
        ("renumbered", TIGHT.to_owned()),
        ("none", format!("{TIGHT} --pin deny-guests --pin deny-low")),
    ] {
        let page = text(&arguments);
        assert!(
            page.lines().all(|line| line.chars().count() <= 80),
            "{page}"
        );
        insta::assert_snapshot!(name, page);
    }
}
