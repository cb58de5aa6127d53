//! Files and parameters that cannot be used.

use std::{net::Ipv4Addr, process::Output};

use serde_json::Value;

use crate::flow;

pub const PACKET: &str = "--from 10.20.1.4 --to 10.20.0.5 --port 10250/tcp";

/// Code and message of a failure; nothing is said on standard output.
fn failure(output: &Output, exit: i32) -> (String, String) {
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(exit), "{said}");
    assert!(output.stdout.is_empty());
    let said: Value = serde_json::from_str(&said).unwrap();
    let field = |name: &str| said["error"][name].as_str().unwrap().to_owned();
    assert!(!field("next").is_empty());
    (field("code"), field("message"))
}

/// Code and message of a question that is refused.
pub fn refused(arguments: &str) -> (String, String) {
    failure(&flow(&format!("{arguments} -o json")), 2)
}

#[test]
fn a_malformed_file_is_named_with_its_line_or_field() {
    for (arguments, expected) in [
        (
            "explain --nsg nsg-bad-port.json",
            &[
                "nsg-bad-port.json",
                "deny-kubelet",
                "destinationPortRange",
                "70000",
            ][..],
        ),
        ("explain --nsg node.save", &["node.save", "line 1"]),
        (
            "explain --nsg service-tags.json",
            &["service-tags.json", "properties"],
        ),
        (
            "explain --iptables node-bad-port.save",
            &["node-bad-port.save", "line 8", "99999"],
        ),
        (
            "explain --iptables node-cut-short.save",
            &["node-cut-short.save", "line"],
        ),
        (
            "explain --iptables nsg-open.json",
            &["nsg-open.json", "line 1"],
        ),
        (
            "explain --nsg nsg-open.json --service-tags nsg-open.json",
            &["nsg-open.json", "values"],
        ),
        (
            "explain --admin-rules nsg-open.json",
            &["nsg-open.json", "list of rules"],
        ),
        (
            "explain --admin-rules service-tags.json",
            &["service-tags.json", "list of rules"],
        ),
        (
            "explain --admin-rules admin-rules-page.json",
            &["admin-rules-page.json", "skipToken", "one page of several"],
        ),
        (
            "explain --admin-rules admin-rules-repeated.json",
            &["admin-rules-repeated.json", "line 3", "value", "twice"],
        ),
        (
            "explain --nsg nsg-open.json --service-tags service-tags-repeated.json",
            &["service-tags-repeated.json", "line 7", "addressPrefixes"],
        ),
        (
            "explain --firewall firewall-repeated.json",
            &["firewall-repeated.json", "line 5", "networkRuleCollections"],
        ),
        ("explain --firewall node.save", &["node.save", "line 1"]),
        (
            "explain --vnet-prefix 10.20.0.0/16 --route-table nsg-open.json",
            &["nsg-open.json", "properties.routes"],
        ),
        (
            "explain --firewall firewall.json --ip-group nsg-open.json",
            &["nsg-open.json", "ipAddresses"],
        ),
        (
            "place --name new --nsg nsg-bad-port.json",
            &["nsg-bad-port.json", "destinationPortRange", "70000"],
        ),
        (
            "explain --from-iptables node-bad-port.save",
            &["node-bad-port.save", "line 8"],
        ),
        (
            "explain --iptables node.save --nft-tables node.save",
            &["node.save", "line 1", "table FAMILY NAME"],
        ),
    ] {
        let (code, message) = refused(&format!("{arguments} {PACKET}"));
        assert_eq!(code, "ruleset_malformed", "{arguments}: {message}");
        for part in expected {
            assert!(message.contains(part), "{arguments}: {message}");
        }
    }
}

#[test]
fn a_dump_without_a_table_is_no_node_without_rules() {
    let folder = tempfile::tempdir().unwrap();
    let written = |text: &str| {
        let path = folder.path().join("node.save");
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    for text in ["", "\n", "# nothing to see\n"] {
        let file = written(text);
        for arguments in [
            format!("explain --iptables {file} {PACKET}"),
            format!("explain --from-ip6tables {file} {PACKET}"),
            format!("delta --kind iptables --before node.save --after {file}"),
        ] {
            let (code, message) = refused(&arguments);
            assert_eq!(code, "ruleset_malformed", "{arguments}: {message}");
            assert!(message.contains(&file), "{message}");
            assert!(message.contains("no table"), "{message}");
        }
    }
    // What the error says to give for a node without rules.
    let file = written("*filter\nCOMMIT\n");
    let answer = crate::json(&format!("explain --iptables {file} {PACKET}"));
    assert_eq!(answer["verdict"], "allow");
}

#[test]
fn either_file_of_a_delta_can_be_malformed() {
    for arguments in [
        "--kind nsg --before nsg-bad-port.json --after nsg-open.json",
        "--kind nsg --before nsg-open.json --after nsg-bad-port.json",
        "--kind iptables --before node.save --after node-bad-port.save",
        "--kind ip6tables --before node-ipv6.save --after node.save",
    ] {
        let (code, message) = refused(&format!("delta {arguments}"));
        assert_eq!(code, "ruleset_malformed", "{arguments}");
        let good = ["nsg-open.json: ", "node-ipv6.save: "];
        assert!(
            !good.iter().any(|file| message.starts_with(file)),
            "{message}"
        );
    }
}

#[test]
fn a_wrong_parameter_is_named_with_its_value() {
    let with_group = |rest: &str| format!("explain --nsg nsg-open.json {rest}");
    for (arguments, expected) in [
        (
            with_group("--from here --to 10.20.0.5 --port 1/tcp"),
            "--from \"here\"",
        ),
        (
            with_group("--from 10.20.1.4 --to 10.20.0.5/16 --port 1/tcp"),
            "--to 10.20.0.5/16 has host bits set",
        ),
        (
            with_group("--from 010.20.1.0/24 --to 10.20.0.5 --port 1/tcp"),
            "--from \"010.20.1.0/24\"",
        ),
        (
            with_group(&format!("{PACKET} --vnet-prefix 010.20.0.0/16")),
            "--vnet-prefix \"010.20.0.0/16\"",
        ),
        (
            with_group("--from 10.20.1.9-10.20.1.4 --to 10.20.0.5 --port 1/tcp"),
            "10.20.1.9-10.20.1.4",
        ),
        (
            with_group("--from 10.20.1.4,fd00::/64 --to 10.20.0.0/16 --port 1/tcp"),
            "two address families",
        ),
        (
            with_group("--from 10.20.1.4 --to 10.20.0.5 --port 1/tcp,9100-9000/tcp"),
            "9100-9000",
        ),
        (
            with_group(&format!(
                "{PACKET} --direction outbound --from-nsg nsg-open.json"
            )),
            "--direction outbound",
        ),
        (
            with_group(&format!("{PACKET} --from-node-address 10.20.1.4")),
            "--from-node-address",
        ),
        (
            with_group(&format!("{PACKET} --from-nft-tables tables.nft")),
            "--from-nft-tables",
        ),
        (
            with_group(&format!(
                "{PACKET} --from-nsg nsg-open.json --ip-group ip-group.json"
            )),
            "--ip-group",
        ),
        (
            format!(
                "explain {PACKET} --firewall-policy firewall-policy.json \
                 --rule-collections rule-collections.json --route-table routes.json \
                 --vnet-prefix 10.20.0.0/16"
            ),
            "which routes lead to the firewall",
        ),
        (
            format!(
                "explain {PACKET} --firewall-policy firewall-policy.json \
                 --firewall-policy firewall-policy.json --rule-collections rule-collections.json"
            ),
            "2 and --rule-collections 1",
        ),
        (
            format!("place --nsg nsg-open.json --name allow-agents {PACKET}"),
            "--name \"allow-agents\"",
        ),
        (
            format!("place --nsg nsg-open.json --name new --pin absent {PACKET}"),
            "--pin \"absent\"",
        ),
        (
            format!("place --nsg nsg-open.json --name=-new {PACKET}"),
            "--name \"-new\"",
        ),
        (
            format!("place --nsg nsg-open.json --name new. {PACKET}"),
            "--name \"new.\"",
        ),
        (
            format!("place --nsg nsg-open.json --name ne/w?? {PACKET}"),
            "--name \"ne/w??\"",
        ),
        (
            format!("place --nsg nsg-open.json --name= {PACKET}"),
            "--name \"\"",
        ),
        (
            format!(
                "place --nsg nsg-open.json --name {} {PACKET}",
                "n".repeat(81)
            ),
            "--name",
        ),
        (
            format!("place --nsg nsg-closed.json --name new --rule-from Bogus {PACKET}"),
            "--rule-from",
        ),
        (
            format!("place --nsg nsg-closed.json --name new --rule-to 10.9.0.0/16 {PACKET}"),
            "--rule-to",
        ),
        (
            "place --nsg nsg-open.json --name new --from 10.20.1.4 --to 10.20.0.5 \
             --port 1/tcp,1/udp"
                .to_owned(),
            "one protocol",
        ),
        (
            "place --nsg nsg-open.json --name new --from 10.20.1.4,fd00::4 \
             --to 10.20.0.5,fd00::5 --port 1/tcp"
                .to_owned(),
            "both families",
        ),
        (
            format!(
                "place --nsg nsg-open.json --name new --rule-from Internet,10.0.0.0/8 {PACKET}"
            ),
            "--rule-from \"Internet\"",
        ),
        (
            format!("place --nsg nsg-open.json --name new --rule-to 10.0.0.1/8 {PACKET}"),
            "--rule-to 10.0.0.1/8 has host bits set",
        ),
        (
            with_group("--from 10.20.1.4 --to ::1 --port 1/tcp"),
            "two address families",
        ),
        (
            with_group("--from 10.20.1.4 --to 10.20.0.5 --port 70000/tcp"),
            "70000",
        ),
        (
            with_group("--from 10.20.1.4 --to 10.20.0.5 --port 10250"),
            "10250",
        ),
        (
            with_group("--from 10.20.1.4 --to 10.20.0.5 --port 1/gre"),
            "gre",
        ),
        (
            with_group(&format!("{PACKET} --source-port x")),
            "--source-port",
        ),
        (
            with_group(&format!("{PACKET} --vnet-prefix 10.20.0.1/16")),
            "host bits",
        ),
        (format!("explain --nsg absent.json {PACKET}"), "absent.json"),
        (format!("explain {PACKET}"), "no rules"),
        (
            "delta --kind iptables --before node.save --after node.save --admin-rules a.json"
                .to_owned(),
            "--admin-rules",
        ),
        (
            format!("explain --iptables node.save --iptables node-mended.save {PACKET}"),
            "same backend",
        ),
        (
            with_group("--from 10.20.1.4 --to 10.20.0.5 --protocol tcp"),
            "has ports",
        ),
        (
            with_group("--from 10.20.1.4 --to 10.20.0.5 --protocol 256"),
            "256",
        ),
        (
            format!("explain --iptables node.save {PACKET} --socket-mark high"),
            "--socket-mark \"high\"",
        ),
        (
            with_group(&format!("{PACKET} --nft-tables tables.nft")),
            "--nft-tables",
        ),
        (
            with_group(&format!("{PACKET} --direction forwarded")),
            "--nsg does not go with --direction forwarded",
        ),
        (
            format!("explain {PACKET} --direction forwarded --iptables node.save --interface eth0"),
            "--interface",
        ),
        (
            format!("explain {PACKET} --direction forwarded --ufw-status ufw-verbose.txt"),
            "--direction forwarded",
        ),
        (
            format!(
                "explain {PACKET} --direction forwarded --iptables node.save \
                 --from-iptables node.save"
            ),
            "--direction forwarded",
        ),
        (
            format!("place --nsg nsg-closed.json --name new --direction forwarded {PACKET}"),
            "--direction forwarded",
        ),
        (
            format!("explain {PACKET} --ufw-status ufw-verbose.txt --nft-tables tables.nft"),
            "--nft-tables",
        ),
        (
            "delta --kind ufw-status --before ufw-verbose.txt --after ufw-verbose.txt \
             --ufw-status ufw-verbose.txt"
                .to_owned(),
            "--ufw-status",
        ),
        (
            "delta --kind nsg --before nsg-open.json --after nsg-open.json --interface eth0"
                .to_owned(),
            "node",
        ),
    ] {
        let (code, message) = refused(&arguments);
        assert_eq!(code, "invalid_parameter", "{arguments}: {message}");
        assert!(message.contains(expected), "{arguments}: {message}");
    }
}

#[test]
fn rules_that_explode_end_with_an_error_that_names_them() {
    // Prefixes and port ranges of all sizes, scattered so that they overlap in
    // as many ways as a thousand rules can.
    let rules: Vec<Value> = (0..1_000_u32)
        .map(|n| {
            let mixed = n.wrapping_mul(2_654_435_761);
            let length = 8 + mixed % 17;
            let prefix = |bits: u32| {
                let network = bits >> (32 - length) << (32 - length);
                format!("{}/{length}", Ipv4Addr::from(network))
            };
            let first = (mixed >> 8) % 40_000;
            serde_json::json!({
                "name": format!("overlap-{n}"),
                "properties": {
                    "access": if n % 2 == 0 { "Deny" } else { "Allow" },
                    "direction": "Inbound", "priority": 100 + n, "protocol": "Tcp",
                    "sourceAddressPrefix": prefix(mixed.rotate_left(7)),
                    "sourcePortRange": format!("{}-60000", mixed % 50_000),
                    "destinationAddressPrefix": prefix(mixed.rotate_left(19)),
                    "destinationPortRange": format!("{first}-{}", first + 20_000),
                }
            })
        })
        .collect();
    let group = |rules: &[Value]| {
        serde_json::json!({"name": "overlaps", "properties": {"securityRules": rules}}).to_string()
    };
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let before = file("before.json", group(&[]));
    let after = file("after.json", group(&rules));
    let output = flow(&format!(
        "delta --kind nsg --before {before} --after {after} -o json"
    ));
    let (code, message) = failure(&output, 7);
    assert_eq!(code, "analysis_too_complex");
    assert!(message.contains("overlap-"), "{message}");
}
