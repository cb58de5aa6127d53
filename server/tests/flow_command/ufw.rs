//! What ufw says of itself.

use serde_json::{Value, json};

use crate::{
    bad_input::{PACKET, refused},
    json,
};

fn judged(files: &str, from: &str, port: &str) -> Value {
    json(&format!(
        "explain {files} --from {from} --to 10.20.0.5 --port {port}/tcp"
    ))
}

fn deciding(answer: &Value) -> &str {
    answer["deciding_rules"][0]["rule"].as_str().unwrap()
}

#[test]
fn the_first_rule_of_ufw_decides_and_else_the_default() {
    let ask = |from, port| judged("--ufw-status ufw-verbose.txt", from, port);
    let denied = ask("10.20.2.4", "10250");
    assert_eq!(denied["verdict"], "deny");
    assert_eq!(denied["deciding_rules"][0]["hop"], "ufw");
    assert!(deciding(&denied).starts_with("rule 2: deny in from 10.20.2.0/24"));
    assert_eq!(ask("10.20.1.4", "10250")["verdict"], "allow");
    let by_default = ask("10.20.1.4", "8080");
    assert_eq!(by_default["verdict"], "deny");
    assert_eq!(deciding(&by_default), "default (incoming)");
    // How often the source has tried is not known.
    assert_eq!(ask("10.20.1.4", "9443")["verdict"], "unknown");
    let notes = denied["notes"].to_string();
    assert!(notes.contains("only what ufw says was judged"), "{notes}");

    let sent = |port: &str| {
        json(&format!(
            "explain --ufw-status ufw-verbose.txt --direction outbound --from 10.20.0.5 \
             --to 10.20.1.4 --port {port}/tcp"
        ))
    };
    assert_eq!(sent("25")["verdict"], "deny");
    assert_eq!(sent("443")["verdict"], "allow");
}

#[test]
fn a_numbered_status_does_not_tell_the_default() {
    let ask = |from, port| judged("--ufw-status ufw-numbered.txt", from, port);
    assert_eq!(ask("10.20.2.4", "10250")["verdict"], "deny");
    let by_default = ask("10.20.1.4", "8080");
    assert_eq!(by_default["verdict"], "unknown");
    let notes = by_default["notes"].to_string();
    assert!(notes.contains("ufw status verbose"), "{notes}");
}

#[test]
fn an_inactive_ufw_lets_all_pass_whatever_was_added() {
    for added in ["", "--ufw-added ufw-before.added"] {
        let files = format!("--ufw-status ufw-inactive.txt {added}");
        let answer = judged(&files, "10.20.2.4", "10250");
        assert_eq!(answer["verdict"], "allow", "{added}");
        assert!(deciding(&answer).contains("inactive"), "{answer:#}");
    }
}

#[test]
fn rules_without_a_status_deny_only_if_ufw_is_active() {
    let alone = judged("--ufw-added ufw-before.added", "10.20.2.4", "10250");
    assert_eq!(alone["verdict"], "unknown");
    assert_eq!(alone["unknown"][0]["name"], "ufw is inactive");
    let allowed = judged("--ufw-added ufw-before.added", "10.20.2.4", "22");
    assert_eq!(allowed["verdict"], "allow");
    let files = "--ufw-added ufw-before.added --ufw-status ufw-verbose.txt";
    assert_eq!(judged(files, "10.20.2.4", "10250")["verdict"], "deny");
    // The added rules stand in place of those of the status.
    assert_eq!(judged(files, "10.20.1.4", "10250")["verdict"], "deny");
}

#[test]
fn files_of_user_rules_tell_of_their_family_alone() {
    let v4 = "--ufw-status ufw-verbose.txt --ufw-user-rules ufw-user.rules";
    assert_eq!(judged(v4, "10.20.2.4", "10250")["verdict"], "deny");
    let ask_v6 = |files: &str| {
        json(&format!(
            "explain {files} --from fd00::4 --to fd00::5 --port 10250/tcp"
        ))
    };
    assert_eq!(ask_v6(v4)["verdict"], "unknown");
    let both = format!("{v4} --ufw-user6-rules ufw-user6.rules");
    assert_eq!(ask_v6(&both)["verdict"], "allow");
}

#[test]
fn the_kernels_rules_decide_where_both_are_given() {
    let answer = judged(
        "--iptables node.save --ufw-status ufw-verbose.txt",
        "10.20.1.4",
        "8080",
    );
    assert_eq!(answer["verdict"], "allow");
    let hops = answer["hops"].as_array().unwrap();
    assert_eq!(hops.len(), 1);
    assert_eq!(hops[0]["hop"], "node firewall");
    let notes = answer["notes"].to_string();
    assert!(
        notes.contains("was not asked: the kernel's rules decide"),
        "{notes}"
    );
}

#[test]
fn ufw_of_the_source_is_a_hop_of_the_whole_way() {
    let answer = json(
        "explain --from-ufw-status ufw-verbose.txt --ufw-status ufw-inactive.txt \
         --from 10.20.0.5 --to 10.20.1.4 --port 25/tcp",
    );
    assert_eq!(answer["verdict"], "deny");
    assert_eq!(answer["deciding_rules"][0]["hop"], "ufw of the source");
}

#[test]
fn what_the_loopback_carries_passes_ufw() {
    let known = "--node-address 10.20.0.5/16 --node-address 10.20.2.4/16";
    let files = format!("--ufw-status ufw-verbose.txt {known}");
    assert_eq!(judged(&files, "10.20.2.4", "10250")["verdict"], "allow");
}

#[test]
fn a_change_of_rules_of_ufw_tells_its_packets() {
    let change = json(
        "delta --kind ufw-added --before ufw-before.added --after ufw-after.added \
         --ufw-status ufw-verbose.txt",
    );
    let opened = change["newly_allowed"].as_array().unwrap();
    assert_eq!(opened.len(), 1, "{change:#}");
    assert_eq!(opened[0]["src"], json!(["10.20.2.0/24"]));
    assert_eq!(opened[0]["ports"], json!(["10250"]));
    assert_eq!(change["newly_denied"], json!([]));
    // What the new limit does is not known, and nothing else is.
    let unknown = change["unknown"].as_array().unwrap();
    assert!(!unknown.is_empty());
    assert!(
        unknown
            .iter()
            .all(|packets| packets["ports"] == json!(["9443"]))
    );
    let same = json("delta --kind ufw-status --before ufw-verbose.txt --after ufw-verbose.txt");
    assert_eq!(same["newly_allowed"], json!([]));
    assert_eq!(same["unknown"], json!([]));
}

#[test]
fn turning_ufw_off_opens_what_its_rules_and_default_closed() {
    let change = json("delta --kind ufw-status --before ufw-verbose.txt --after ufw-inactive.txt");
    let opened = change["newly_allowed"].to_string();
    assert!(opened.contains("10.20.2.0"), "{opened}");
    assert_eq!(change["newly_denied"], json!([]));
}

#[test]
fn a_changed_rule_for_what_the_node_passes_on_is_unknown() {
    let change = json(
        "delta --kind ufw-added --before ufw-before.added --after ufw-route.added \
         --ufw-status ufw-verbose.txt",
    );
    assert_eq!(change["newly_allowed"], json!([]));
    let unknown = change["unknown"].as_array().unwrap();
    assert!(!unknown.is_empty(), "{change:#}");
    assert!(
        unknown
            .iter()
            .all(|packets| packets["direction"] == "forwarded")
    );
}

#[test]
fn a_garbled_or_cut_text_of_ufw_is_refused_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ufw.txt");
    let verbose = std::fs::read_to_string(crate::sample("ufw-verbose.txt")).unwrap();
    let lines = |count| verbose.lines().take(count).collect::<Vec<_>>().join("\n");
    for (option, text, expected) in [
        ("--ufw-status", String::new(), "line 1"),
        ("--ufw-status", "État : actif\n".to_owned(), "line 1"),
        ("--ufw-status", lines(6), "line 6"),
        ("--ufw-status", lines(7), "line 6"),
        (
            "--ufw-status",
            verbose.replace("22/tcp ", "70000/tcp "),
            "line 8",
        ),
        ("--ufw-status", verbose.replace("DENY IN", "DEN"), "line 9"),
        ("--ufw-added", String::new(), "line 1"),
        (
            "--ufw-added",
            "ufw allow 22\nufw frobnicate\n".to_owned(),
            "line 2",
        ),
        (
            "--ufw-user-rules",
            "*filter\n### RULES ###\n".to_owned(),
            "line 2",
        ),
        (
            "--ufw-user6-rules",
            "*filter\n### tuple ### allow tcp 1 0.0.0.0/0 any 0.0.0.0/0 in\nCOMMIT\n".to_owned(),
            "line 2",
        ),
    ] {
        std::fs::write(&file, &text).unwrap();
        let (code, message) = refused(&format!("explain {option} {} {PACKET}", file.display()));
        assert_eq!(code, "ruleset_malformed", "{message}");
        assert!(
            message.contains("ufw.txt") && message.contains(expected),
            "{text}: {message}"
        );
    }
}
