//! The plugin's judgement and proposal on recorded nodes.

use naosu_plugin::{
    Effect, Finding, Judgement, NodeObservation, NodeQuery, ObserveError, Plugin, PluginError,
    Query, UfwRuleEffect,
    testing::{self, Estate, Recorded},
};
use naosu_ufw_allow_port::UfwAllowPort;
use serde_json::json;

fn node_query(node: u32, what: NodeObservation) -> Query {
    Query::Node(NodeQuery {
        node: Estate::node_name(node),
        what,
    })
}

fn recorded(kernel: &str, numbered: &str, routed: &str) -> Recorded {
    let mut recorded = Estate::default().record();
    let forward = if routed == "deny" { "DROP" } else { "ACCEPT" };
    let dump = |rules: &str| {
        json!({ "ipv4_nft": format!(
            "*filter\n:INPUT DROP [0:0]\n:FORWARD {forward} [0:0]\n:OUTPUT ACCEPT [0:0]\n\
             :ufw-user-input - [0:0]\n:ufw-before-input - [0:0]\n:ufw-before-forward - [0:0]\n\
             -A INPUT -j ufw-before-input\n-A INPUT -j ufw-user-input\n-A FORWARD -j ufw-before-forward\n{rules}COMMIT\n") })
    };
    let open = dump("-A INPUT -j ACCEPT\n").to_string();
    let what = NodeObservation::FirewallRuleset;
    recorded.put(node_query(1, what), dump(kernel));
    recorded.put(
        node_query(0, what),
        open.replace("FORWARD DROP", "FORWARD ACCEPT"),
    );
    recorded.put(
        node_query(2, what),
        open.replace("FORWARD DROP", "FORWARD ACCEPT"),
    );
    let verbose = format!(
        "Status: active\nLogging: on (low)\nDefault: deny (incoming), allow (outgoing), {routed} (routed)\nNew profiles: skip\n"
    );
    let report = json!({ "installed": true, "verbose": verbose, "numbered": numbered });
    recorded.put(node_query(1, NodeObservation::UfwStatus), report);
    recorded
}

fn denied() -> Recorded {
    recorded(
        "-A ufw-user-input -p tcp -m tcp --dport 22 -j ACCEPT\n\
         -A ufw-user-input -p tcp -m tcp --dport 10250 -j DROP\n",
        "Status: active\n\n     To                         Action      From\n     \
         --                         ------      ----\n\
         [ 1] 22/tcp                     ALLOW IN    Anywhere\n\
         [ 2] 10250/tcp                  DENY IN     Anywhere\n",
        "disabled",
    )
}

fn diagnose(recorded: &Recorded) -> Finding {
    testing::diagnose::<UfwAllowPort>(recorded).unwrap()
}

fn insertions(recorded: &Recorded, parameters: &str) -> (Vec<UfwRuleEffect>, Vec<String>) {
    let proposal = testing::plan::<UfwAllowPort>(recorded, parameters).unwrap();
    let effects = proposal.steps.into_iter().map(|step| match step.effect {
        Effect::UfwRuleInsert(insert) => insert,
        other => panic!("{other:?}"),
    });
    (effects.collect(), proposal.warnings)
}

#[test]
fn the_rule_goes_before_the_one_that_denies_scoped_to_the_node_subnet_and_tcp() {
    assert_eq!(diagnose(&denied()).judgement, Judgement::Confirmed);
    let (effects, warnings) = insertions(&denied(), "{}");
    let [insert] = effects.as_slice() else {
        panic!("{effects:?}");
    };
    assert_eq!(insert.node, Estate::node_name(1));
    assert_eq!(insert.position, 2);
    assert_eq!(insert.rule.protocol, "tcp");
    assert_eq!(insert.rule.source, "10.224.0.0/16");
    assert_eq!(insert.rule.destination, "10.224.0.5");
    assert_eq!(insert.rule.port, "10250");
    assert!(warnings.is_empty(), "{warnings:?}");
}

#[test]
fn scope_addresses_names_only_the_agents() {
    let (effects, _) = insertions(&denied(), r#"{"scope": "addresses"}"#);
    assert_eq!(effects[0].rule.source, "10.224.0.4");
}

#[test]
fn where_only_the_default_denies_the_rule_is_appended_and_dropped_forwarding_is_told() {
    let recorded = recorded(
        "-A ufw-user-input -p tcp -m tcp --dport 22 -j ACCEPT\n",
        "Status: active\n\n     To                         Action      From\n     \
         --                         ------      ----\n\
         [ 1] 22/tcp                     ALLOW IN    Anywhere\n",
        "deny",
    );
    let (effects, warnings) = insertions(&recorded, "{}");
    assert_eq!(effects[0].position, 0);
    assert!(warnings[0].contains("forwarded"), "{warnings:?}");
}

#[test]
fn words_of_ufw_that_cannot_be_read_are_an_error_and_no_guess() {
    let mut recorded = denied();
    let french =
        json!({ "installed": true, "verbose": "État : actif", "numbered": "État : actif" });
    recorded.put(node_query(1, NodeObservation::UfwStatus), french);
    let finding = diagnose(&recorded);
    assert_eq!(finding.judgement, Judgement::Confirmed);
    let planned = UfwAllowPort::plan(&recorded, &Estate::cluster(), &finding, "{}");
    assert!(matches!(planned, Err(PluginError::Malformed(_))));
}

const HEAD: &str = "Status: active\n\n     To                         Action      From\n     \
                    --                         ------      ----\n";

fn with_later(later: &str) -> Recorded {
    recorded(
        "-A ufw-user-input -p tcp -m tcp --dport 10250 -j DROP\n",
        &format!("{HEAD}[ 1] 10250/tcp                  DENY IN     Anywhere\n{later}"),
        "disabled",
    )
}

#[test]
fn an_allow_that_comes_too_late_stays_where_it_is_when_another_can_go_before_the_deny() {
    let (effects, _) = insertions(
        &with_later("[ 2] 10250/tcp                  ALLOW IN    10.224.0.0/16\n"),
        "{}",
    );
    assert_eq!(effects.len(), 1);
    assert_eq!(effects[0].position, 1);
    assert_eq!(effects[0].rule.destination, "10.224.0.5");
}

#[test]
fn the_very_rule_that_comes_too_late_is_deleted_and_put_before_the_deny() {
    let later = with_later(
        "[ 2] 10250/tcp                  ALLOW IN    Anywhere                   # x\n[ 3] 10.224.0.5 10250/tcp       ALLOW IN    10.224.0.0/16\n",
    );
    let finding = diagnose(&later);
    let cluster = Estate::cluster();
    let proposal = UfwAllowPort::plan(&later, &cluster, &finding, "{}").unwrap();
    let [delete, insert] = proposal.steps.as_slice() else {
        panic!("{:?}", proposal.steps);
    };
    let (Effect::UfwRuleDelete(delete), Effect::UfwRuleInsert(insert)) =
        (&delete.effect, &insert.effect)
    else {
        panic!("{delete:?} {insert:?}");
    };
    assert_eq!((delete.position, insert.position), (3, 1));
    assert_eq!(delete.rule, insert.rule);
    // With a comment it could not be put back as it was.
    let later = with_later(
        "[ 2] 10.224.0.5 10250/tcp       ALLOW IN    10.224.0.0/16              # mine\n",
    );
    let planned = UfwAllowPort::plan(&later, &cluster, &finding, "{}");
    assert!(
        matches!(planned, Err(PluginError::Infeasible(_))),
        "{planned:?}"
    );
}

#[test]
fn ufw_that_drops_only_what_is_forwarded_is_suspected_and_has_no_port_to_open() {
    let dropping = recorded(
        "-A ufw-user-input -p tcp -m tcp --dport 10250 -j ACCEPT\n",
        &format!("{HEAD}[ 1] 10250/tcp                  ALLOW IN    Anywhere\n"),
        "deny",
    );
    let finding = diagnose(&dropping);
    assert_eq!(
        finding.judgement,
        Judgement::Suspected,
        "{}",
        finding.summary
    );
    assert!(finding.summary.contains("forwarded"), "{}", finding.summary);
    let planned = UfwAllowPort::plan(&dropping, &Estate::cluster(), &finding, "{}");
    assert!(
        matches!(planned, Err(PluginError::NothingToDo(_))),
        "{planned:?}"
    );
}

#[test]
fn a_block_of_ufws_that_no_rule_of_its_list_can_lift_is_infeasible() {
    // From before.rules: the user's chain is never asked.
    let before = recorded(
        "-A ufw-before-input -p tcp -m tcp --dport 10250 -j DROP\n\
         -A ufw-user-input -p tcp -m tcp --dport 22 -j ACCEPT\n",
        &format!("{HEAD}[ 1] 22/tcp                     ALLOW IN    Anywhere\n"),
        "disabled",
    );
    let finding = diagnose(&before);
    assert_eq!(
        finding.judgement,
        Judgement::Confirmed,
        "{}",
        finding.summary
    );
    let planned = UfwAllowPort::plan(&before, &Estate::cluster(), &finding, "{}");
    assert!(
        matches!(planned, Err(PluginError::Infeasible(_))),
        "{planned:?}"
    );
}

#[test]
fn a_node_that_cannot_be_read_before_and_after_does_not_undo_what_is_mended_on_another() {
    let unread = |mut recorded: Recorded| {
        let down = ObserveError::Unavailable("the VM agent does not answer".into());
        recorded.fail(node_query(2, NodeObservation::FirewallRuleset), down);
        recorded
    };
    let before = unread(denied());
    let (finding, cluster) = (diagnose(&before), Estate::cluster());
    let steps = UfwAllowPort::plan(&before, &cluster, &finding, "{}");
    let steps = steps.unwrap().steps;
    let verify = |after: &Recorded| UfwAllowPort::verify(after, &cluster, &finding, &steps);
    assert!(!verify(&before).unwrap().mended);
    let open = || {
        recorded(
            "-A ufw-user-input -p tcp -m tcp --dport 10250 -j ACCEPT\n",
            "",
            "",
        )
    };
    let verdict = verify(&unread(open())).unwrap();
    assert!(verdict.mended, "{}", verdict.summary);
    // The node that was mended has to be read.
    let mut hidden = open();
    let down = ObserveError::Unavailable("the VM agent does not answer".into());
    hidden.fail(node_query(1, NodeObservation::FirewallRuleset), down);
    assert!(!verify(&hidden).unwrap().mended);
}

#[test]
fn in_a_locked_node_resource_group_the_fix_is_infeasible_and_says_what_else() {
    let mut locked = denied();
    locked.edit(&Query::AzureGet(Estate::cluster().id), |cluster| {
        let profile = json!({ "restrictionLevel": "ReadOnly" });
        cluster["properties"]["nodeResourceGroupProfile"] = profile;
    });
    let mut unread = locked.clone();
    for node in 0..3 {
        let query = node_query(node, NodeObservation::FirewallRuleset);
        unread.fail(query, ObserveError::Forbidden("denied".into()));
    }
    for (recorded, judgement) in [
        (&locked, Judgement::Confirmed),
        (&unread, Judgement::Unknown),
    ] {
        let finding = diagnose(recorded);
        assert_eq!(finding.judgement, judgement, "{}", finding.summary);
        let infeasible = finding.infeasible.unwrap();
        assert!(infeasible.contains("ReadOnly"), "{infeasible}");
        assert!(infeasible.contains("kubectl debug"), "{infeasible}");
    }
    let planned = testing::plan::<UfwAllowPort>(&locked, "{}");
    assert!(
        matches!(planned, Err(PluginError::Infeasible(_))),
        "{planned:?}"
    );
}

#[test]
fn a_scope_that_is_none_is_told_with_those_that_are() {
    let refused = testing::plan::<UfwAllowPort>(&denied(), r#"{"scope": "world"}"#);
    let Err(PluginError::InvalidParameter(message)) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(message, r#"scope is "world"; give "addresses" or "subnet""#);
}

#[test]
fn ufw_that_only_keeps_the_agents_packets_in_has_no_port_to_open_and_the_other_fix_is_named() {
    let keeping_in = |mut recorded: Recorded| {
        let rules = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n\
                     :ufw-user-forward - [0:0]\n-A FORWARD -j ufw-user-forward\n\
                     -A ufw-user-forward -p tcp -m tcp --dport 10250 -j REJECT\nCOMMIT\n";
        let query = node_query(0, NodeObservation::FirewallRuleset);
        recorded.put(query, json!({ "ipv4_nft": rules }));
        recorded
    };
    let open = "-A ufw-user-input -p tcp -m tcp --dport 10250 -j ACCEPT\n";
    let only = keeping_in(recorded(open, "", ""));
    let finding = diagnose(&only);
    assert_eq!(
        finding.judgement,
        Judgement::Confirmed,
        "{}",
        finding.summary
    );
    let infeasible = finding.infeasible.unwrap();
    assert!(infeasible.contains("ufw-disable"), "{infeasible}");
    let planned = testing::plan::<UfwAllowPort>(&only, "{}");
    assert!(
        matches!(planned, Err(PluginError::Infeasible(_))),
        "{planned:?}"
    );
    // Beside a port to open it is a warning.
    let both = keeping_in(denied());
    assert_eq!(diagnose(&both).infeasible, None);
    let (effects, warnings) = insertions(&both, "{}");
    assert_eq!(effects.len(), 1);
    assert!(warnings[0].contains("keeps in"), "{warnings:?}");
}
