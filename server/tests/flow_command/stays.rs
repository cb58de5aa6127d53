//! `naosu flow explain` on packets that never leave their machine.

use serde_json::{Value, json};

use crate::{json, text};

/// INPUT drops all but what the loopback brings.
fn judged(rest: &str) -> Value {
    json(&format!("explain --iptables node-loopback.save {rest}"))
}

#[test]
fn one_packet_and_many_of_the_loopback_get_the_same_verdict() {
    for known in ["", "--node-address 10.20.0.5/16"] {
        for port in ["10250/tcp", "10250/tcp,10251/tcp", "10250-10260/tcp"] {
            for (from, to) in [
                ("127.0.0.1", "127.0.0.1"),
                ("127.0.0.0/8", "127.0.0.0/8"),
                ("10.20.0.5", "10.20.0.5"),
            ] {
                let answer = judged(&format!("--from {from} --to {to} --port {port} {known}"));
                assert_eq!(answer["verdict"], "allow", "{from} {port} {known}");
                let notes = answer["notes"].to_string();
                assert!(!notes.contains("node-address"), "{notes}");
            }
        }
    }
    for port in ["22/tcp", "22/tcp,23/tcp"] {
        let answer = json(&format!(
            "explain --ip6tables node-loopback-ipv6.save --from ::1 --to ::1 --port {port}"
        ));
        assert_eq!(answer["verdict"], "allow", "{port}");
    }
}

#[test]
fn of_a_set_only_what_stays_takes_the_loopback() {
    let answer = judged("--from 10.20.0.5,10.20.0.6 --to 10.20.0.5 --port 10250/tcp");
    assert_eq!(answer["verdict"], "deny");
    assert_eq!(
        answer["allowed"]["packets"][0]["src"],
        json!(["10.20.0.5"]),
        "{answer:#}"
    );
    assert_eq!(answer["denied"]["packets"][0]["src"], json!(["10.20.0.6"]));
    let told = "--node-address 10.20.0.5/16 --node-address 10.20.0.6/16";
    let own = judged(&format!(
        "--from 10.20.0.0/24 --to 10.20.0.0/24 --port 10250/tcp {told}"
    ));
    assert_eq!(
        own["allowed"]["packets"][0]["src"],
        json!(["10.20.0.5/32", "10.20.0.6/32"]),
        "{own:#}"
    );
}

/// A neighbour can send to an address of the loopback, where the kernel takes it.
#[test]
fn what_names_the_loopback_on_one_side_alone_is_unknown_alone_and_among_others() {
    for port in ["10250/tcp", "10250/tcp,10251/tcp"] {
        let answer = judged(&format!("--from 10.20.1.4 --to 127.0.0.1 --port {port}"));
        assert_eq!(answer["verdict"], "unknown", "{port}");
    }
}

#[test]
fn no_rule_of_azures_sees_a_packet_that_stays_on_its_machine() {
    let ways = [
        "--nic-nsg nsg-closed.json --iptables node-loopback.save",
        "--nic-nsg nsg-closed.json",
        "--nsg nsg-closed-out.json --direction outbound",
        "--admin-rules admin-rules.json",
        "--from-nsg nsg-closed-out.json --nsg nsg-closed.json --firewall firewall.json",
    ];
    for way in ways {
        let ask = |from: &str, port: &str| {
            json(&format!(
                "explain {way} --vnet-prefix 10.20.0.0/16 --from {from} --to 10.20.0.5 --port {port}"
            ))
        };
        for port in ["10250/tcp", "10250/tcp,10251/tcp"] {
            let stays = ask("10.20.0.5", port);
            assert_eq!(stays["verdict"], "allow", "{way} {port}: {stays:#}");
            let leaves = ask("10.20.1.4", port);
            assert_eq!(leaves["verdict"], "deny", "{way} {port}");
        }
    }
    let page =
        text("explain --nic-nsg nsg-closed.json --from 10.20.0.5 --to 10.20.0.5 --port 10250/tcp");
    assert!(
        page.contains("not met: the packet does not leave its"),
        "{page}"
    );
}

#[test]
fn two_addresses_of_one_node_are_one_machine_to_azure() {
    let told = "--node-address 10.20.0.5/16 --node-address 10.20.0.6/16";
    let ask = |known: &str| {
        json(&format!(
            "explain --nic-nsg nsg-closed.json --iptables node-loopback.save {known} \
             --from 10.20.0.6 --to 10.20.0.5 --port 10250/tcp"
        ))
    };
    assert_eq!(ask(told)["verdict"], "allow");
    let untold = ask("");
    assert_eq!(
        untold["deciding_rules"][0]["hop"],
        "interface security group"
    );
}

#[test]
fn of_a_set_security_groups_stop_only_what_leaves() {
    let answer = json(
        "explain --nic-nsg nsg-closed.json --from 10.20.0.4/31 --to 10.20.0.4/31 --port 10250/tcp",
    );
    assert_eq!(answer["verdict"], "deny");
    let allowed = answer["allowed"]["packets"].as_array().unwrap();
    assert_eq!(allowed.len(), 2, "{answer:#}");
    assert!(allowed.iter().all(|flow| flow["src"] == flow["dst"]));
    assert_eq!(answer["notes"], json!([]));

    // Too many to tell apart are not passed over in silence.
    let many = json(
        "explain --nic-nsg nsg-closed.json --from 10.20.0.0/16 --to 10.20.0.0/16 --port 10250/tcp",
    );
    let notes = many["notes"].to_string();
    assert!(notes.contains("from an address to itself"), "{notes}");
}

#[test]
fn what_a_pod_sends_to_its_own_node_is_received_there_and_not_forwarded() {
    let ask = |to: &str, rest: &str| {
        json(&format!(
            "explain --from-iptables node.save --from-pod --subnet-nsg nsg-closed.json \
             --from 10.20.1.4 --to {to} --port 10250/tcp {rest}"
        ))
    };
    let own = ask("10.20.0.5", "--from-node-address 10.20.0.5/16");
    assert_eq!(own["verdict"], "allow", "{own:#}");
    assert_eq!(own["hops"][0]["rules"][0]["chain"], "INPUT");
    let another = ask("10.20.0.6", "--from-node-address 10.20.0.5/16");
    assert_eq!(another["deciding_rules"][0]["chain"], "FORWARD");
    // Of a set, each takes its own way.
    let both = ask("10.20.0.5,10.20.0.6", "--from-node-address 10.20.0.5/16");
    assert_eq!(both["allowed"]["packets"][0]["dst"], json!(["10.20.0.5"]));
    assert_eq!(both["denied"]["packets"][0]["dst"], json!(["10.20.0.6"]));
    assert_eq!(both["stops"][0]["rule"]["chain"], "FORWARD");
    // Not told, it is said what is taken for granted.
    let untold = ask("10.20.0.5", "");
    assert_eq!(untold["verdict"], "deny");
    let notes = untold["notes"].to_string();
    assert!(notes.contains("--from-node-address"), "{notes}");
}
