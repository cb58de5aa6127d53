//! A bounded run of what the fuzz targets run without end: generated texts, and
//! real ones cut, doubled and scrambled.

#[path = "../fuzz/harness.rs"]
mod harness;

use harness::HARNESSES;
use proptest::prelude::*;

/// A text of each kind, as the systems write them.
const SEEDS: [&str; 6] = [
    include_str!("../src/iptables/tests/everything.rules"),
    "Status: active\nLogging: on (low)\nDefault: deny (incoming), allow (outgoing), disabled (routed)\n\n\
     To                         Action      From\n--                         ------      ----\n\
     [ 1] 10250/tcp                  DENY IN     10.0.0.0/8                 # why\n\
     [ 2] 10.0.0.0/8 80/tcp on eth1  ALLOW FWD   Anywhere on eth0\n\
     [ 3] 22/tcp (v6)                LIMIT IN    Anywhere (v6)              (log)\n",
    "ufw allow 22/tcp\nufw deny from 10.0.0.0/8 to any port 10250 proto tcp comment 'it\"s'\n\
     ufw route allow in on eth0 out on eth1 to 10.0.0.0/8 port 80 proto tcp\n",
    "*filter\n### tuple ### allow_log tcp 80,443 0.0.0.0/0 any 10.0.0.0/8 in_eth0 comment=6974\nCOMMIT\n",
    r#"{"properties":{"securityRules":[{"name":"a","properties":{"protocol":"Tcp","access":"Deny","priority":100,"direction":"Inbound","sourceAddressPrefix":"VirtualNetwork","destinationAddressPrefixes":["10.0.0.0/8"],"sourcePortRange":"*","destinationPortRanges":["10250","1-9"]}}]}}"#,
    r#"{"properties":{"routes":[{"name":"r","properties":{"addressPrefix":"0.0.0.0/0","nextHopType":"VirtualAppliance","nextHopIpAddress":"10.0.0.4"}}],"networkRuleCollections":[{"name":"c","properties":{"priority":100,"action":{"type":"Allow"},"rules":[{"name":"n","protocols":["TCP"],"sourceAddresses":["*"],"destinationAddresses":["AzureCloud"],"destinationPorts":["9000"]}]}}]}}"#,
];

fn run_all(text: &str) {
    for (_, harness) in HARNESSES {
        harness(text);
    }
}

#[test]
fn every_harness_takes_the_texts_it_is_for() {
    SEEDS.into_iter().for_each(run_all);
    run_all("");
}

#[test]
fn every_harness_has_its_fuzz_target() {
    let manifest = include_str!("../fuzz/Cargo.toml");
    for (name, _) in HARNESSES {
        assert!(
            manifest.contains(&format!("fuzz_targets/{name}.rs")),
            "{name}"
        );
    }
    assert_eq!(manifest.matches("[[bin]]").count(), HARNESSES.len());
}

/// Changes a text the way damage does: bytes lost, repeated, swapped, replaced.
fn damaged(seed: &str, damage: &[(u8, prop::sample::Index, prop::sample::Index, char)]) -> String {
    let mut text: Vec<char> = seed.chars().collect();
    for (kind, from, to, c) in damage {
        if text.is_empty() {
            break;
        }
        let (from, to) = (from.index(text.len()), to.index(text.len()));
        let (first, last) = (from.min(to), from.max(to));
        match kind % 6 {
            0 => text.truncate(last),
            1 => drop(text.drain(first..last.min(first + 12))),
            2 => {
                let copy: Vec<char> = text[first..last.min(first + 200)].to_vec();
                text.splice(last..last, copy);
            }
            3 => text[first] = *c,
            4 => text.swap(first, last),
            _ => text.insert(first, *c),
        }
    }
    text.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn damaged_texts_end_in_a_value_or_an_error(
        seed in 0..SEEDS.len(),
        damage in prop::collection::vec(
            (any::<u8>(), any::<prop::sample::Index>(), any::<prop::sample::Index>(),
             prop::sample::select(vec!['"', '\\', '!', '-', '\n', ' ', '0', '9', ':', '/', ',', '[', '\u{1b}', 'é', '\r'])),
            1..6,
        ),
    ) {
        run_all(&damaged(SEEDS[seed], &damage));
    }

    #[test]
    fn scrambled_rules_end_in_a_value_or_an_error(
        words in prop::collection::vec(
            prop::sample::select(vec![
                "-A", "INPUT", "U", "-s", "10.0.0.0/8", "-p", "tcp", "udp", "-m", "tcp", "multiport", "--dports",
                "--dport", "10250", "1:2", "!", "-j", "-g", "DROP", "ACCEPT", "LOG", "--log-prefix", "\"a b\"",
                "comment", "--comment", "conntrack", "--ctstate", "NEW", "mark", "--mark", "0x1/0x1", "-i", "lo",
                "weird", "--weird", "\"\"", "MARK", "--set-xmark", "-f", "addrtype", "--dst-type", "LOCAL", "'", "--syn",
            ]),
            0..14,
        ),
    ) {
        let rule = words.join(" ");
        run_all(&format!("*filter\n:INPUT ACCEPT [0:0]\n:U - [0:0]\n-A INPUT {rule}\nCOMMIT\n"));
    }

    #[test]
    fn any_text_ends_in_a_value_or_an_error(text in ".{0,400}") {
        run_all(&text);
    }
}
