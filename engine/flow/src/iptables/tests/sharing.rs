//! Many dumps that are almost the same: shared specifications, equal ways.

use std::sync::Arc;

use super::super::*;

fn dump(counter: u32, input: &str, postrouting: &str) -> String {
    format!(
        "*nat\n:PREROUTING ACCEPT [{counter}:1]\n:POSTROUTING ACCEPT [0:0]\n:OWN - [0:0]\n\
         -A PREROUTING -d 10.0.0.1/32 -p tcp -m tcp --dport 443 -j OWN\n\
         -A OWN -j DNAT --to-destination 10.0.0.2\n{postrouting}COMMIT\n\
         *filter\n:INPUT ACCEPT [{counter}:9]\n:FORWARD ACCEPT [0:0]\n:U - [0:0]\n:UNREACHED - [0:0]\n\
         -A INPUT -p tcp -j U\n-A UNREACHED -s 10.0.0.9/32 -j DROP\n{input}COMMIT\n"
    )
}

fn node(known: &mut Specifications, text: &str) -> NodeFirewall {
    let ruleset = Ruleset::parse_sharing(Family::Ipv4, text, known).unwrap();
    NodeFirewall::new([ruleset], Knowledge::default())
}

#[test]
fn rules_alike_share_their_specification_and_read_the_same_as_alone() {
    let text = dump(1, "-A U -s 10.0.0.0/8 -j DROP\n", "");
    let mut known = Specifications::default();
    let first = Ruleset::parse_sharing(Family::Ipv4, &text, &mut known).unwrap();
    let second = Ruleset::parse_sharing(Family::Ipv4, &text, &mut known).unwrap();
    assert_eq!(second, Ruleset::parse(Family::Ipv4, &text).unwrap());
    let rule = |ruleset: &Ruleset| {
        let table = ruleset.table(TableName::Filter).unwrap();
        Arc::clone(&table.chain("U").unwrap().rules[0].specification)
    };
    assert!(Arc::ptr_eq(&rule(&first), &rule(&second)));
}

#[test]
fn a_word_that_is_a_chain_here_and_a_target_there_is_read_anew() {
    let with =
        |chain: &str| format!("*filter\n:INPUT ACCEPT\n{chain}-A INPUT -p tcp -j REJECT\nCOMMIT\n");
    let mut known = Specifications::default();
    for chain in ["", ":REJECT -\n", ""] {
        let text = with(chain);
        let shared = Ruleset::parse_sharing(Family::Ipv4, &text, &mut known);
        assert_eq!(shared, Ruleset::parse(Family::Ipv4, &text));
    }
    // A jump to a chain that this table does not have is as wrong as ever.
    let jump = "*filter\n:INPUT ACCEPT\n:U -\n-A INPUT -j U\nCOMMIT\n";
    Ruleset::parse_sharing(Family::Ipv4, jump, &mut known).unwrap();
    let gone = jump.replace(":U -\n", "");
    let error = Ruleset::parse_sharing(Family::Ipv4, &gone, &mut known).unwrap_err();
    assert!(matches!(error.kind, ParseErrorKind::UnknownChain { .. }));
}

#[test]
fn only_rules_that_packets_can_meet_tell_ways_apart() {
    let mut known = Specifications::default();
    let usual = node(&mut known, &dump(1, "-A U -s 10.0.0.0/8 -j DROP\n", ""));
    let mut same = |input: &str, postrouting: &str| {
        let other = node(&mut known, &dump(7, input, postrouting));
        usual.consulted(Hook::Input) == other.consulted(Hook::Input)
    };
    let drop = "-A U -s 10.0.0.0/8 -j DROP\n";
    assert!(same(drop, ""));
    assert!(same(drop, "-A POSTROUTING -s 10.9.0.0/16 -j MASQUERADE\n"));
    assert!(same(&format!("-A UNREACHED -j DROP\n{drop}"), ""));
    assert!(!same("-A U -s 10.0.0.0/9 -j DROP\n", ""));
    assert!(!same(&format!("{drop}-A U -j UNREACHED\n"), ""));
    assert!(!same("", ""));
    // Where two backends meet, a rule elsewhere may take marks away.
    assert!(!same(
        &format!("-A FORWARD -j MARK --set-xmark 0x1/0x1\n{drop}"),
        ""
    ));
}
