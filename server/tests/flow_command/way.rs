//! `naosu flow explain` along the whole way from one machine to another.

use serde_json::{Value, json};

use crate::{json, text};

const AGENT_TO_NODE: &str = "explain --from-iptables node.save --from-nic-nsg nsg-agents-out.json \
     --from-subnet-nsg nsg-open.json --subnet-nsg nsg-open.json --nic-nsg nsg-closed.json \
     --iptables node.save --vnet-prefix 10.20.0.0/16";

fn hops(answer: &Value) -> Vec<&str> {
    let hops = answer["hops"].as_array().unwrap();
    hops.iter()
        .map(|hop| hop["hop"].as_str().unwrap())
        .collect()
}

fn stops(answer: &Value) -> Vec<(&str, &str, &Value)> {
    let stops = answer["stops"].as_array().unwrap();
    stops
        .iter()
        .map(|stop| {
            (
                stop["rule"]["hop"].as_str().unwrap(),
                stop["rule"]["rule"].as_str().unwrap(),
                &stop["part"]["packets"][0]["src"],
            )
        })
        .collect()
}

#[test]
fn from_the_agent_to_the_kubelet_each_rule_stops_what_gets_to_it_in_azures_order() {
    let answer = json(&format!(
        "{AGENT_TO_NODE} --from 10.20.1.0/24 --to 10.20.0.5 --port 10250/tcp"
    ));
    assert_eq!(
        hops(&answer),
        [
            "node firewall of the source",
            "interface security group of the source",
            "subnet security group of the source",
            "subnet security group of the destination",
            "interface security group of the destination",
            "node firewall of the destination",
        ]
    );
    assert_eq!(answer["verdict"], "deny");
    assert_eq!(
        stops(&answer),
        [
            (
                "interface security group of the source",
                "deny-one-agent",
                &json!(["10.20.1.64/26"])
            ),
            (
                "interface security group of the destination",
                "deny-kubelet",
                &json!(["10.20.1.0/26", "10.20.1.128/25"])
            ),
        ]
    );
}

#[test]
fn one_packet_is_followed_through_all_hops_each_in_its_own_direction() {
    let answer = json(&format!(
        "{AGENT_TO_NODE} --from 10.20.1.70 --to 10.20.0.5 --port 10250/tcp"
    ));
    assert_eq!(answer["verdict"], "deny");
    assert_eq!(answer["deciding_rules"][0]["rule"], "deny-one-agent");
    assert_eq!(answer["hops"][0]["rules"][0]["chain"], "OUTPUT");
    assert_eq!(answer["hops"][5]["rules"][0]["chain"], "INPUT");
    assert_eq!(
        answer["packet"],
        "TCP from 10.20.1.70 port 49152 to 10.20.0.5 port 10250"
    );
}

#[test]
fn what_a_pod_of_its_own_network_sends_is_forwarded_by_its_node() {
    let ask = |pod: &str| {
        json(&format!(
            "explain --from-iptables node.save {pod} --subnet-nsg nsg-open.json \
             --from 10.20.1.4 --to 10.20.0.5 --port 10250/tcp"
        ))
    };
    assert_eq!(ask("")["verdict"], "allow");
    let forwarded = ask("--from-pod");
    assert_eq!(forwarded["verdict"], "deny");
    assert_eq!(forwarded["deciding_rules"][0]["chain"], "FORWARD");
}

#[test]
fn admin_rules_are_asked_on_both_sides_unless_the_source_has_others() {
    let ask = |from: &str| {
        json(&format!(
            "explain --from-nsg nsg-open.json --nsg nsg-open.json --admin-rules admin-rules.json \
             {from} --from 10.20.1.4 --to 10.20.0.5 --port 10250/tcp"
        ))
    };
    assert_eq!(
        hops(&ask("")),
        [
            "security admin rules of the source",
            "security group of the source",
            "security admin rules of the destination",
            "security group of the destination",
        ]
    );
    let denied = ask("--from-admin-rules admin-rules-none.json");
    assert_eq!(denied["verdict"], "deny");
    assert_eq!(denied["hops"][0]["verdict"], "allow");
    assert_eq!(denied["hops"][2]["verdict"], "deny");
}

const OUT: &str = "explain --from-subnet-nsg nsg-open.json --route-table routes.json \
     --firewall firewall.json --vnet-prefix 10.20.0.0/16 --from 10.20.1.4";

#[test]
fn routes_bring_packets_to_the_firewall_or_to_nowhere_or_to_what_is_not_known() {
    let ask = |to: &str, port: &str| json(&format!("{OUT} --to {to} --port {port}"));
    let allowed = ask("203.0.113.7", "443/tcp");
    assert_eq!(allowed["verdict"], "allow");
    assert_eq!(
        hops(&allowed),
        [
            "subnet security group of the source",
            "routes of the source",
            "Azure Firewall"
        ]
    );
    let denied = ask("203.0.113.7", "22/tcp");
    assert_eq!(denied["verdict"], "deny");
    assert_eq!(denied["deciding_rules"][0]["hop"], "Azure Firewall");
    let dropped = ask("198.51.100.7", "443/tcp");
    assert_eq!(dropped["verdict"], "deny");
    assert_eq!(
        dropped["deciding_rules"][0]["rule"],
        "route to-nowhere for 198.51.100.0/24"
    );
    let elsewhere = ask("192.0.2.7", "443/tcp");
    assert_eq!(elsewhere["verdict"], "unknown");
    assert_eq!(
        elsewhere["unknown"][0]["name"],
        "the appliance 10.99.0.5 drops the packet"
    );
    // What stays in the network goes by the firewall.
    assert_eq!(ask("10.20.0.5", "10250/tcp")["verdict"], "allow");
}

#[test]
fn a_private_address_outside_of_the_network_goes_to_no_internet() {
    let folder = tempfile::tempdir().unwrap();
    let ask = |stops_learning: bool| {
        let path = folder.path().join("routes.json");
        let table = json!({"name": "rt", "properties": {
            "routes": [], "disableBgpRoutePropagation": stops_learning
        }});
        std::fs::write(&path, table.to_string()).unwrap();
        json(&format!(
            "explain --route-table {} --vnet-prefix 10.224.0.0/16 --from 10.224.0.4 \
             --to 10.9.9.9 --port 443/tcp",
            path.display()
        ))
    };
    let denied = ask(true);
    assert_eq!(denied["verdict"], "deny");
    assert_eq!(
        denied["deciding_rules"][0]["rule"],
        "system route for 10.0.0.0/8"
    );
    let unknown = ask(false);
    assert_eq!(unknown["verdict"], "unknown");
    let why = unknown["unknown"].to_string();
    assert!(why.contains("gateway teaches a route"), "{why}");
}

#[test]
fn what_is_for_the_platform_meets_no_route_and_no_firewall() {
    for between in [
        "--route-table routes.json",
        "--route-table routes.json --firewall firewall.json",
        "--firewall firewall.json",
    ] {
        for asked in [
            "--to 168.63.129.16 --port 53/udp",
            "--to 169.254.169.254 --port 80/tcp",
        ] {
            let answer = json(&format!(
                "explain {between} --vnet-prefix 10.20.0.0/16 --from 10.20.1.4 {asked}"
            ));
            assert_eq!(answer["verdict"], "allow", "{between} {asked}: {answer:#}");
        }
    }
}

#[test]
fn a_route_to_a_service_tag_is_for_the_prefixes_of_the_given_list() {
    let ask = |to: &str| {
        json(&format!(
            "explain --route-table routes-tag.json --service-tags service-tags.json \
             --vnet-prefix 10.20.0.0/16 --from 10.20.1.4 --to {to} --port 443/tcp"
        ))
    };
    let dropped = ask("203.0.113.7");
    assert_eq!(dropped["verdict"], "deny");
    assert_eq!(
        dropped["deciding_rules"][0]["rule"],
        "route storage-to-nowhere for 203.0.113.0/24"
    );
    assert_eq!(ask("192.0.2.7")["verdict"], "allow");
}

#[test]
fn an_ip_group_of_the_firewall_is_unknown_until_it_is_given() {
    let ask = |group: &str| {
        json(&format!(
            "{OUT} --to 203.0.113.128/25 --port 9443/tcp {group}"
        ))
    };
    let unknown = ask("");
    assert_eq!(unknown["verdict"], "unknown");
    assert!(
        unknown["atoms"].to_string().contains("partners"),
        "{unknown:#}"
    );
    let known = ask("--ip-group ip-group.json");
    assert_eq!(
        known["allowed"]["packets"][0]["dst"],
        json!(["203.0.113.200"])
    );
}

#[test]
fn a_firewall_policy_is_read_with_its_rule_collections() {
    let ask = |rest: &str| {
        format!(
            "explain --from 10.20.1.4 --to 203.0.113.0/24 --port 443/tcp \
             --vnet-prefix 10.20.0.0/16 --firewall-policy firewall-policy.json \
             --rule-collections rule-collections.json {rest}"
        )
    };
    for rest in ["", "--route-table routes.json --firewall-address 10.99.0.4"] {
        let answer = json(&ask(rest));
        assert_eq!(
            answer["allowed"]["packets"][0]["dst"],
            json!(["203.0.113.0/25"]),
            "{answer:#}"
        );
        assert_eq!(answer["stops"][0]["rule"]["hop"], "Azure Firewall");
    }
}

#[test]
fn the_text_of_a_whole_way_is_a_page_of_80_columns() {
    let page = text(&format!(
        "{AGENT_TO_NODE} --from 10.20.1.0/24 --to 10.20.0.5 --port 10250/tcp"
    ));
    assert!(
        page.lines().all(|line| line.chars().count() <= 80),
        "{page}"
    );
    insta::assert_snapshot!(page);
}
