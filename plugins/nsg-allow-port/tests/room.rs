//! The room that a rule leaves to those to come, and the rules that move for it.

use naosu_nsg_allow_port::NsgAllowPort;
use naosu_plugin::{
    Effect, Proposal,
    testing::{self, Estate},
};
use serde_json::Value;

fn plan(subnet_rules: Vec<Value>) -> Proposal {
    let estate = Estate {
        subnet_rules,
        ..Estate::default()
    };
    testing::plan::<NsgAllowPort>(&estate.record(), "{}").unwrap()
}

fn deny(name: &str, priority: u16, port: &str) -> Value {
    Estate::rule(name, "Inbound", priority, "Deny", port)
}

#[test]
fn the_title_says_how_many_numbers_are_left_for_rules_to_come() {
    for (priority, left) in [
        (110, "(9 more numbers free there)"),
        (102, "(1 more number free there)"),
        (101, "(the last number free there)"),
    ] {
        let proposal = plan(vec![deny("deny-kubelet", priority, "10250")]);
        let title = &proposal.steps[0].title;
        assert!(title.ends_with(left), "{title}");
        assert!(proposal.warnings.iter().all(|w| !w.contains("these rules")));
    }
}

#[test]
fn rules_that_move_are_named_and_known_to_be_the_fewest() {
    let proposal = plan(vec![deny("deny-kubelet", 100, "10250")]);
    let [step] = proposal.steps.as_slice() else {
        panic!("{proposal:?}");
    };
    assert!(matches!(step.effect, Effect::NsgRulesReplace(_)));
    assert!(step.title.ends_with("(by moving 1 rule)"), "{}", step.title);
    let moves = "deny-kubelet from 100 to 101";
    let told = proposal.warnings.iter().find(|w| w.contains(moves));
    assert!(told.unwrap().ends_with(moves), "{told:?}");
}

#[test]
fn where_fewer_moves_might_do_the_plan_says_so() {
    // None of these may pass the next.
    let rules = (0..900).map(|at: u16| {
        let access = if at.is_multiple_of(2) {
            "Deny"
        } else {
            "Allow"
        };
        let ports = format!("{}-10260", 10_250 - at);
        Estate::rule(&format!("r{at}"), "Inbound", 100 + at, access, &ports)
    });
    let proposal = plan(rules.collect());
    let title = &proposal.steps[0].title;
    assert!(title.ends_with("(by moving 900 rules)"), "{title}");
    let told = proposal.warnings.iter().find(|w| w.contains("r0 from 100"));
    assert!(
        told.unwrap().ends_with("moving fewer rules might do"),
        "{told:?}"
    );
}
