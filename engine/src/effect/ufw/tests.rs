use super::*;

/// Printed by ufw 0.36.2 after `ufw deny 10250/tcp`, `ufw allow from
/// 10.224.0.0/16 to any port 22 proto tcp`, `ufw allow out 53`.
const NUMBERED: &str = "Status: active

     To                         Action      From
     --                         ------      ----
[ 1] 10250/tcp                  DENY IN     Anywhere
[ 2] 22/tcp                     ALLOW IN    10.224.0.0/16              # ssh
[ 3] 53                         ALLOW OUT   Anywhere                   (out)
[ 4] 10250/tcp (v6)             DENY IN     Anywhere (v6)
[ 5] 53 (v6)                    ALLOW OUT   Anywhere (v6)              (out)
";
const VERBOSE: &str = "Status: active
Logging: on (low)
Default: deny (incoming), allow (outgoing), deny (routed)
New profiles: skip
";

fn state() -> State {
    State {
        what: "node/a ufw-status".into(),
        answer: Ok(json!(UfwStatus {
            installed: true,
            verbose: VERBOSE.into(),
            numbered: NUMBERED.into(),
            settings: "MANAGE_BUILTINS=no\n".into(),
            files: String::new(),
        })
        .to_string()
        .into()),
    }
}

fn allow(position: u32) -> UfwRuleEffect {
    UfwRuleEffect {
        node: "a".into(),
        position,
        access: Access::Allow,
        direction: Direction::Inbound,
        protocol: "tcp".into(),
        source: "10.224.0.0/16".into(),
        destination: "any".into(),
        port: "10250".into(),
    }
}

#[test]
fn a_rule_inserted_before_a_deny_is_simulated_there_and_then_in_place() {
    let rule = allow(1);
    let insert = RuleInsert { rule: &rule };
    assert_eq!(insert.standing(&state()).unwrap(), Standing::Ready);
    let done = insert.simulate(&state()).unwrap();
    let first = done.after.lines().nth(2).unwrap();
    assert!(
        first.starts_with("10250/tcp") && first.contains("ALLOW IN"),
        "{first}"
    );
    assert_eq!(insert.standing(&done.state).unwrap(), Standing::InPlace);
    let delete = RuleDelete { rule: &rule };
    let back = delete.simulate(&done.state).unwrap();
    assert_eq!(
        delete.projection(&back.state).unwrap(),
        delete.projection(&state()).unwrap()
    );
}

#[test]
fn a_listed_rule_is_found_with_comment_and_in_both_directions() {
    let ssh = UfwRuleEffect {
        port: "22".into(),
        ..allow(2)
    };
    let dns = UfwRuleEffect {
        direction: Direction::Outbound,
        protocol: "any".into(),
        source: "any".into(),
        port: "53".into(),
        ..allow(3)
    };
    for rule in [ssh, dns] {
        let standing = RuleDelete { rule: &rule }.standing(&state()).unwrap();
        assert_eq!(standing, Standing::Ready, "{rule:?}");
    }
}

#[test]
fn allowing_what_a_rule_denies_with_the_same_match_is_a_conflict_as_ufw_would_rewrite_it() {
    let rule = UfwRuleEffect {
        source: "any".into(),
        ..allow(1)
    };
    let standing = RuleInsert { rule: &rule }.standing(&state()).unwrap();
    assert!(matches!(standing, Standing::Conflict(_)), "{standing:?}");
}

#[test]
fn a_translated_status_is_an_error_and_an_absent_ufw_is_infeasible() {
    let told = |installed, verbose: &str| {
        let status = UfwStatus {
            installed,
            verbose: verbose.into(),
            numbered: String::new(),
            settings: "MANAGE_BUILTINS=no\n".into(),
            files: String::new(),
        };
        let state = state().with_json(&json!(status));
        Switch {
            node: "a",
            on: false,
        }
        .standing(&state)
        .unwrap_err()
        .code
    };
    assert_eq!(told(true, "État : actif\n"), Code::RulesetMalformed);
    assert_eq!(told(false, ""), Code::InfeasibleHere);
}
