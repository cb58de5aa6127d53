//! `naosu flow explain`.

use serde_json::{Value, json};

use crate::{json, words};

#[test]
fn a_security_group_names_the_rule_that_allows_or_denies() {
    let ask = |from: &str| {
        json(&format!(
            "explain --nsg nsg-open.json --from {from} --to 10.20.0.5 --port 10250/tcp"
        ))
    };
    let allowed = ask("10.20.1.4");
    assert_eq!(allowed["verdict"], "allow");
    assert_eq!(allowed["deciding_rules"][0]["rule"], "allow-agents");
    assert_eq!(allowed["deciding_rules"][0]["priority"], 150);
    assert_eq!(allowed["unknown"], json!([]));

    let denied = ask("10.20.2.4");
    assert_eq!(denied["verdict"], "deny");
    assert_eq!(denied["deciding_rules"][0]["rule"], "deny-kubelet");
    assert_eq!(denied["deciding_rules"][0]["priority"], 200);
}

#[test]
fn security_admin_rules_decide_before_the_group_and_leave_the_rest_to_it() {
    let ask = |from: &str| {
        json(&format!(
            "explain --nsg nsg-open.json --admin-rules admin-rules.json --from {from} \
             --to 10.20.0.5 --port 10250/tcp"
        ))
    };
    let denied = ask("10.20.1.4");
    assert_eq!(denied["verdict"], "deny");
    let rule = &denied["deciding_rules"][0];
    assert_eq!(rule["rule"], "baseline/deny-high-ports");
    assert_eq!(rule["hop"], "security admin rules");
    assert_eq!(rule["priority"], 20);

    // The group denies it, and is not asked.
    let allowed = ask("10.20.2.4");
    assert_eq!(allowed["verdict"], "allow");
    let rule = &allowed["deciding_rules"][0];
    assert_eq!(rule["rule"], "baseline/always-kubelet");
    assert_eq!(rule["hop"], "security admin rules");
    assert_eq!(rule["priority"], 10);

    let left = ask("10.20.1.200");
    assert_eq!(left["verdict"], "allow");
    assert_eq!(left["deciding_rules"][0]["rule"], "allow-agents");
    assert_eq!(
        ask("10.20.3.4")["deciding_rules"][0]["rule"],
        "deny-kubelet"
    );

    let alone = json(
        "explain --admin-rules admin-rules.json --from 10.20.1.4 --to 10.20.0.5 --port 10250/tcp",
    );
    assert_eq!(alone["verdict"], "deny");
}

/// Hops and rules that decide.
fn decided<'a>(answer: &'a Value) -> Vec<(&'a str, &'a str)> {
    let rules = answer["deciding_rules"].as_array().unwrap();
    let text = |value: &'a Value| value.as_str().unwrap();
    rules
        .iter()
        .map(|rule| (text(&rule["hop"]), text(&rule["rule"])))
        .collect()
}

fn hops(answer: &Value) -> Vec<&str> {
    let hops = answer["hops"].as_array().unwrap();
    hops.iter()
        .map(|hop| hop["hop"].as_str().unwrap())
        .collect()
}

/// Azure asks its admin rules before any group in both directions.
#[test]
fn outbound_security_admin_rules_come_after_the_node_and_before_the_groups() {
    let ask = |to: &str, port: &str| {
        json(&format!(
            "explain --subnet-nsg nsg-closed-out.json --nic-nsg nsg-closed-out.json \
             --iptables node.save --admin-rules admin-rules-out.json --from 10.20.0.5 --to {to} \
             --port {port}/tcp --direction outbound"
        ))
    };
    let always = ask("198.51.100.7", "443");
    assert_eq!(
        hops(&always),
        [
            "node firewall",
            "security admin rules",
            "interface security group",
            "subnet security group"
        ]
    );
    let admin = "security admin rules";
    // The groups deny it, and are not asked.
    assert_eq!(always["verdict"], "allow");
    assert_eq!(decided(&always), [(admin, "egress/always-api")]);

    let denied = ask("203.0.113.9", "25");
    assert_eq!(denied["verdict"], "deny");
    assert_eq!(decided(&denied), [(admin, "egress/deny-mail")]);

    let left_and_allowed = ask("203.0.113.9", "443");
    assert_eq!(left_and_allowed["verdict"], "allow");
    let by_group = [("subnet security group", "allow-web")];
    assert_eq!(decided(&left_and_allowed), by_group);

    let left_and_denied = ask("192.0.2.9", "443");
    assert_eq!(left_and_denied["verdict"], "deny");
    let by_group = [("interface security group", "deny-out")];
    assert_eq!(decided(&left_and_denied), by_group);
}

#[test]
fn what_security_admin_rules_hand_on_is_decided_by_who_decides_it() {
    // Whether the admin rule denies it is not known; the group is asked if not.
    let unknown = json(
        "explain --nsg nsg-closed-out.json --admin-rules admin-rules-out.json \
         --from 10.20.0.5 --to 203.0.113.9 --port 8443/tcp --direction outbound",
    );
    assert_eq!(unknown["verdict"], "unknown");
    assert_eq!(
        decided(&unknown),
        [
            ("security admin rules", "egress/deny-storage"),
            ("security group", "allow-web")
        ]
    );
    // Outbound the node comes before them; they have no say.
    let by_the_node = json(
        "explain --iptables node.save --admin-rules admin-rules-out.json \
         --from 10.20.0.5 --to 203.0.113.9 --port 22/tcp --direction outbound",
    );
    assert_eq!(by_the_node["verdict"], "allow");
    assert_eq!(by_the_node["deciding_rules"][0]["hop"], "node firewall");
}

#[test]
fn a_rule_that_always_allows_is_a_security_admin_rule_wherever_it_is_met() {
    let ask = "explain --subnet-nsg nsg-open.json --nic-nsg nsg-closed.json \
               --admin-rules admin-rules.json --from 10.20.2.4 --to 10.20.0.5 --port 10250/tcp";
    let answer = json(ask);
    assert_eq!(
        hops(&answer),
        [
            "security admin rules",
            "subnet security group",
            "interface security group"
        ]
    );
    assert_eq!(
        decided(&answer),
        [("security admin rules", "baseline/always-kubelet")]
    );
    for hop in answer["hops"].as_array().unwrap() {
        assert_eq!(hop["rules"][0]["hop"], "security admin rules", "{hop:#}");
    }
    let text = words(ask);
    assert!(
        text.contains("Decided by security admin rules: rule baseline/always-kubelet"),
        "{text}"
    );
}

#[test]
fn a_network_without_security_admin_rules_answers_with_an_empty_list_which_is_used() {
    let packet = "--from 10.20.1.4 --to 10.20.0.5 --port 10250/tcp";
    let alone = json(&format!(
        "explain --admin-rules admin-rules-none.json {packet}"
    ));
    assert_eq!(alone["verdict"], "allow");
    assert_eq!(hops(&alone), ["security admin rules"]);
    let with_a_group = json(&format!(
        "explain --admin-rules admin-rules-none.json --nsg nsg-open.json {packet}"
    ));
    assert_eq!(decided(&with_a_group), [("security group", "allow-agents")]);
}

#[test]
fn a_service_tag_without_prefixes_is_unknown_and_known_with_the_list() {
    let ask = "explain --nsg nsg-open.json --from 203.0.113.9 --to 10.20.0.5 --port 8443/tcp \
               --vnet-prefix 10.20.0.0/16";
    let unknown = json(ask);
    assert_eq!(unknown["verdict"], "unknown");
    let atoms = unknown["unknown"].as_array().unwrap();
    assert_eq!(atoms.len(), 1, "{unknown:#}");
    assert!(
        atoms[0]["name"]
            .as_str()
            .unwrap()
            .contains("storage.northsample")
    );
    assert!(
        atoms[0]["reason"]
            .as_str()
            .unwrap()
            .contains("not observed")
    );
    let rules: Vec<_> = unknown["deciding_rules"]
        .as_array()
        .unwrap()
        .iter()
        .collect();
    assert!(rules.iter().any(|rule| rule["rule"] == "allow-storage"));
    assert!(rules.iter().any(|rule| rule["rule"] == "DenyAllInBound"));

    let known = json(&format!("{ask} --service-tags service-tags.json"));
    assert_eq!(known["verdict"], "allow");
    assert_eq!(known["deciding_rules"][0]["rule"], "allow-storage");
}

#[test]
fn iptables_names_chain_line_and_text_of_the_rule() {
    let ask = |from: &str| {
        json(&format!(
            "explain --iptables node.save --from {from} --to 10.20.0.5 --port 10250/tcp"
        ))
    };
    let denied = ask("10.20.2.4");
    assert_eq!(denied["verdict"], "deny");
    let rule = &denied["deciding_rules"][0];
    assert_eq!(rule["chain"], "GUARD");
    assert_eq!(rule["line"], 10);
    assert_eq!(rule["number"], 1);
    assert!(rule["rule"].as_str().unwrap().contains("closed by hand"));

    let allowed = ask("10.20.1.4");
    assert_eq!(allowed["verdict"], "allow");
    assert_eq!(allowed["deciding_rules"][0]["line"], 7);

    let by_policy = ask("192.0.2.1");
    assert_eq!(by_policy["verdict"], "allow");
    assert_eq!(by_policy["deciding_rules"][0]["chain"], "INPUT");
    assert_eq!(by_policy["deciding_rules"][0].get("line"), None);
}

#[test]
fn a_match_that_is_not_modelled_makes_the_verdict_unknown_and_is_named() {
    let answer =
        json("explain --iptables node.save --from 10.20.2.4 --to 10.20.0.5 --port 9443/tcp");
    assert_eq!(answer["verdict"], "unknown", "{answer:#}");
    let atoms = answer["unknown"].as_array().unwrap();
    assert!(!atoms.is_empty());
    assert!(
        atoms
            .iter()
            .any(|atom| atom["name"].as_str().unwrap().contains("string"))
    );
    assert!(
        atoms
            .iter()
            .all(|atom| !atom["reason"].as_str().unwrap().is_empty())
    );
    assert!(!answer["deciding_rules"].as_array().unwrap().is_empty());
}

#[test]
fn rules_of_the_other_address_family_were_not_read_so_nothing_is_known() {
    let answer =
        json("explain --iptables node.save --from 2001:db8::1 --to 2001:db8::2 --port 22/tcp");
    assert_eq!(answer["verdict"], "unknown");
    let rule = &answer["deciding_rules"][0];
    assert!(rule["reason"].as_str().unwrap().contains("IPv6"));
}

#[test]
fn the_first_set_of_rules_that_denies_decides_and_the_order_follows_the_direction() {
    let ask = |direction: &str| {
        json(&format!(
            "explain --subnet-nsg nsg-open.json --nic-nsg nsg-closed.json --iptables node.save \
             --from 10.20.1.4 --to 10.20.0.5 --port 10250/tcp --direction {direction}"
        ))
    };
    let inbound = ask("inbound");
    assert_eq!(inbound["verdict"], "deny");
    assert_eq!(
        inbound["deciding_rules"][0]["hop"],
        "interface security group"
    );
    assert_eq!(inbound["hops"][0]["verdict"], "allow");
    assert_eq!(
        hops(&inbound),
        [
            "subnet security group",
            "interface security group",
            "node firewall"
        ]
    );
    let outbound = ask("outbound");
    assert_eq!(
        hops(&outbound),
        [
            "node firewall",
            "interface security group",
            "subnet security group"
        ]
    );
}

#[test]
fn a_certain_denial_behind_something_unknown_is_still_a_denial() {
    let answer = json(
        "explain --subnet-nsg nsg-closed.json --iptables node.save \
         --from 10.20.2.4 --to 10.20.0.5 --port 10250/tcp",
    );
    assert_eq!(answer["verdict"], "deny");
    let answer = json(
        "explain --subnet-nsg nsg-unknown.json --iptables node.save \
         --from 10.20.2.4 --to 10.20.0.5 --port 10250/tcp",
    );
    assert_eq!(answer["hops"][0]["verdict"], "unknown");
    assert_eq!(answer["verdict"], "deny");
    assert_eq!(answer["deciding_rules"][0]["hop"], "node firewall");
    assert_eq!(answer["unknown"], json!([]));
}

#[test]
fn the_text_says_verdict_rule_and_what_is_not_known() {
    let denied =
        words("explain --nsg nsg-open.json --from 10.20.2.4 --to 10.20.0.5 --port 10250/tcp");
    assert!(denied.contains("Verdict denied"), "{denied}");
    assert!(
        denied.contains("rule deny-kubelet, priority 200, of samples-nsg"),
        "{denied}"
    );
    let unknown = words(
        "explain --nsg nsg-open.json --from 203.0.113.9 --to 10.20.0.5 --port 8443/tcp \
         --vnet-prefix 10.20.0.0/16",
    );
    assert!(
        unknown.contains("May decide security group: rule allow-storage"),
        "{unknown}"
    );
    assert!(unknown.contains("Verdict unknown"), "{unknown}");
    assert!(
        unknown.contains("Not known source in service tag"),
        "{unknown}"
    );
}

fn judged(file: &str, rest: &str) -> Value {
    json(&format!("explain --iptables {file} {rest}"))
}

#[test]
fn a_packet_between_two_addresses_of_the_node_takes_the_loopback() {
    let ask = |known: &str| {
        let packet = "--from 10.20.0.6 --to 10.20.0.5 --port 10250/tcp";
        judged("node-loopback.save", &format!("{packet} {known}"))
    };
    let both = "--node-address 10.20.0.5/16 --node-address 10.20.0.6/16";
    assert_eq!(ask(both)["verdict"], "allow");
    assert_eq!(ask("--node-address 10.20.0.5/16")["verdict"], "deny");
    // Where none is told, the answer says what it takes for granted.
    let untold = ask("");
    assert_eq!(untold["verdict"], "deny");
    let notes = untold["notes"].to_string();
    assert!(notes.contains("--node-address"), "{notes}");
    assert!(!ask(both)["notes"].to_string().contains("--node-address"));
}

#[test]
fn tables_of_nftables_itself_are_unknown_where_they_are_told_and_noted_otherwise() {
    let packet = "--from 10.20.1.4 --to 10.20.0.5 --port 10250/tcp";
    let untold = judged("node.save", packet);
    assert_eq!(untold["verdict"], "allow");
    assert!(untold["notes"].to_string().contains("--nft-tables"));
    let told = judged("node.save", &format!("{packet} --nft-tables tables.nft"));
    assert_eq!(told["verdict"], "unknown");
    assert!(
        told["unknown"][0]["name"]
            .as_str()
            .unwrap()
            .contains("inet fw")
    );
    let own = judged(
        "node.save",
        &format!("{packet} --nft-tables tables-own.nft"),
    );
    assert_eq!(own["verdict"], "allow");
}

/// Both backends decide, and only one of them was given.
#[test]
fn a_table_of_iptables_nft_that_no_file_shows_is_unknown_and_it_is_said_what_to_give() {
    let packet = "--from 10.20.1.4 --to 10.20.0.5 --port 10250/tcp";
    let told = |given: &str| {
        let answer = judged(given, &format!("{packet} --nft-tables tables-own.nft"));
        let named = answer["unknown"][0]["name"].as_str();
        let named = named.unwrap_or_default().to_owned();
        (
            answer["verdict"].clone(),
            named,
            answer["notes"].to_string(),
        )
    };
    let (verdict, named, notes) = told("node-legacy.save");
    assert_eq!(verdict, "unknown");
    assert!(named.contains("table ip filter"), "{named}");
    assert!(
        notes.contains("give iptables-nft-save's output with --iptables"),
        "{notes}"
    );
    // The other family's is none of these packets.
    assert!(!notes.contains("ip6"), "{notes}");
    // A dump of that backend shows it, a part of one does not.
    let (verdict, _, notes) = told("node-legacy.save --iptables node.save");
    assert_eq!(verdict, "allow", "{notes}");
    let (verdict, named, _) = told("node-legacy.save --iptables node-only-nat.save");
    assert_eq!(verdict, "unknown");
    assert!(named.contains("table ip filter"), "{named}");
    let of_source = json(&format!(
        "explain {packet} --from-iptables node-legacy.save --from-nft-tables tables-own.nft"
    ));
    assert_eq!(of_source["verdict"], "unknown");
    let notes = of_source["notes"].to_string();
    assert!(notes.contains("with --from-iptables"), "{notes}");
}

#[test]
fn protocols_without_ports_and_marks_of_sockets_are_asked_about() {
    let ping = "--from 10.20.1.4 --to 10.20.0.5 --protocol";
    assert_eq!(
        judged("node-loopback.save", &format!("{ping} icmp"))["verdict"],
        "deny"
    );
    assert_eq!(
        judged("node-loopback.save", &format!("{ping} esp"))["verdict"],
        "allow"
    );
    let sent = "--direction outbound --from 10.20.0.5 --to 10.20.1.4 --port 443/tcp";
    let ask = |mark: &str| judged("node-loopback.save", &format!("{sent} {mark}"));
    let unknown = ask("");
    assert_eq!(unknown["verdict"], "unknown");
    assert_eq!(
        unknown["unknown"][0]["name"],
        "the sending socket's mark is 0x8000/0x8000"
    );
    assert_eq!(ask("--socket-mark 0")["verdict"], "allow");
    assert_eq!(ask("--socket-mark 0x8000")["verdict"], "deny");
}
