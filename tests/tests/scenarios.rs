//! Each scenario of the lab, walked by the product from symptom to rollback on
//! real packets, and held to what its file expects.

use std::collections::{BTreeMap, BTreeSet};

use naosu_lab::{
    Lab, LabOptions, NodeName, builtin_scenario, builtin_scenario_names,
    scenario::{Cause, Expectations, ExpectedFix, Judgement},
};
use naosu_tests::{
    matrix::{self, Phase, Walked, promised},
    mending::{
        Mending, Moment, ask_a_person, changes, diagnose, loaded_plugins, mend_and_take_back,
        plan_of, plugins_of, text, unreached, wrong_judgements,
    },
    product::Naosu,
    tunnel_truth::unreachable_nodes,
};
use serde_json::Value;

/// How often a person would begin again whom others get in the way.
const BEGIN_AGAIN_AT_MOST: u32 = 3;

async fn walk(name: &str) {
    let scenario = builtin_scenario(name).unwrap();
    let lab = Lab::start(scenario, LabOptions::default()).await.unwrap();
    if let Some(reason) = lab.simulated_because() {
        println!("{name}: no real packets, {reason}; simulated ones decide");
    }
    let naosu = Naosu::at(&lab).unwrap();
    let loaded = loaded_plugins(&naosu).await.unwrap();
    let before = unreachable_nodes(&lab).await;
    let diagnosis = diagnose(&naosu, &lab).await.unwrap();
    let wrong = wrong_judgements(&lab, &diagnosis, &loaded);
    assert!(wrong.is_empty(), "{name}:\n{}", wrong.join("\n"));
    let mut walked = Walked::default();
    walked.add_diagnosis(&diagnosis);
    let expect = &lab.scenario().expect;
    for advice in expect.advice.iter().filter(|a| loaded.contains(&a.plugin)) {
        refused(
            &naosu,
            name,
            &diagnosis,
            &advice.plugin,
            "nothing_to_do",
            "",
        )
        .await;
        walked.add(&advice.plugin, Phase::Refuse);
    }
    for fix in &lab.scenario().expect.fixes {
        assert!(loaded.contains(&fix.plugin), "{name}: no {}", fix.plugin);
        if let Some(why) = &fix.infeasible {
            refused(
                &naosu,
                name,
                &diagnosis,
                &fix.plugin,
                "infeasible_here",
                why,
            )
            .await;
            walked.add(&fix.plugin, Phase::Refuse);
            continue;
        }
        if let Some(what) = &fix.manual {
            let asked = ask_a_person(&naosu, &diagnosis, &fix.plugin).await.unwrap();
            assert!(
                asked.iter().any(|instruction| instruction.contains(what)),
                "{name}: {what:?} is not asked in {asked:?}"
            );
            walked.add(&fix.plugin, Phase::Plan);
            continue;
        }
        if fix.planned_only {
            let plan = plan_of(&naosu, &diagnosis, &fix.plugin).await.unwrap();
            assert_plan(name, &plan, fix);
            walked.add_plan(&fix.plugin, &plan);
            continue;
        }
        let mut mending = mend_and_take_back(&naosu, &lab, &diagnosis, fix)
            .await
            .unwrap();
        for _ in 0..BEGIN_AGAIN_AT_MOST {
            if mending.applied["state"] != "CANCELLED" {
                break;
            }
            // Somebody else wrote in between, so nothing was: a person begins again.
            assert_eq!(
                mending.unreachable_at_end, before,
                "{name}: something was written"
            );
            let again = diagnose(&naosu, &lab).await.unwrap();
            mending = mend_and_take_back(&naosu, &lab, &again, fix).await.unwrap();
        }
        assert_probes(name, &lab, &mending, &before);
        walked.add_mending(&fix.plugin, &mending);
        assert_plan(name, &mending.plan, fix);
        let state = text(&mending.applied["state"]);
        let summary = text(&mending.applied["summary"]);
        if !fix.mends && state == "SUCCEEDED" {
            // One of several causes is gone; the run says that others remain.
            assert!(summary.contains("remains"), "{name}: {:#}", mending.applied);
            assert_ne!(
                mending.unreachable_after,
                BTreeSet::new(),
                "{name}: nothing remains"
            );
        } else if fix.mends {
            assert_eq!(state, "SUCCEEDED", "{name}: {:#}", mending.applied);
            assert_eq!(
                mending.unreachable_after,
                fix.leaves.iter().cloned().collect(),
                "{name}: the tunnel's own word"
            );
        } else {
            assert_eq!(state, "ROLLED_BACK", "{name}: {:#}", mending.applied);
        }
        if state == "SUCCEEDED" && !fix.reversible {
            assert_eq!(mending.taken_back, None, "{name}: it cannot be");
            assert_eq!(
                mending.unreachable_at_end, mending.unreachable_after,
                "{name}: it stays"
            );
            continue;
        }
        if let Some(taken_back) = &mending.taken_back {
            assert_eq!(taken_back["state"], "ROLLED_BACK", "{name}: {taken_back:#}");
        }
        assert_eq!(
            mending.unreachable_at_end, before,
            "{name}: not as it was before"
        );
    }
    assert_eq!(
        walked,
        promised(expect, &loaded),
        "{name}: the walk is not what the scenario promises"
    );
}

/// No plan is made of a plugin's finding, and the refusal says why.
async fn refused(
    naosu: &Naosu,
    name: &str,
    diagnosis: &Value,
    plugin: &str,
    expected_code: &str,
    why: &str,
) {
    let id = text(&diagnosis["id"]);
    let arguments = ["plan", "create", &id, "--plugin", plugin];
    let (code, finished) = naosu.failure(&arguments).await.unwrap();
    assert_eq!(code, expected_code, "{name}: {finished}");
    let error: Value = serde_json::from_str(&finished.stderr).unwrap_or_default();
    let said = text(&error["error"]["message"]);
    assert!(
        said.contains(why),
        "{name}: {plugin} does not say {why:?}: {said}"
    );
}

/// What the run says of the tunnel, before, after and after it was taken back, is
/// what is true beside it. With several agents a single probe may have luck.
fn assert_probes(name: &str, lab: &Lab, mending: &Mending, before: &BTreeSet<NodeName>) {
    let nodes = lab.scenario().estate.nodes();
    if nodes.iter().filter(|node| node.agent).count() > 1 {
        assert!(
            unreached(&mending.applied, Moment::Before).is_some(),
            "{name}"
        );
        return;
    }
    let applied = &mending.applied;
    assert_eq!(
        unreached(applied, Moment::Before).as_ref(),
        Some(before),
        "{name}"
    );
    // Where the way out opens or closes, an agent's connection begins or ends a moment
    // later: a run that need not wait for it, since another cause remains or all was
    // taken back, may have asked before that.
    let told_early = |told: &Option<BTreeSet<NodeName>>| {
        lab.scenario().expect.tunnel_down && told.as_ref() == Some(before)
    };
    if applied["state"] == "SUCCEEDED" {
        let after = unreached(applied, Moment::After);
        let truth = &mending.unreachable_after;
        let early = !truth.is_empty() && told_early(&after);
        assert!(
            after.as_ref() == Some(truth) || early,
            "{name}: {after:?} is told after, {truth:?} is true"
        );
    }
    let taken_back = mending.taken_back.as_ref().unwrap_or(applied);
    if taken_back["state"] == "ROLLED_BACK" {
        let back = unreached(taken_back, Moment::TakenBack);
        let truth = &mending.unreachable_taken_back;
        assert!(
            back.as_ref() == Some(truth) || told_early(&back),
            "{name}: {back:?} is told when taken back, {truth:?} is true"
        );
    }
}

/// The plan is what the scenario says that it must be.
fn assert_plan(name: &str, plan: &Value, fix: &ExpectedFix) {
    let steps = plan["content"]["steps"].as_array();
    assert!(
        steps.is_some_and(|steps| !steps.is_empty()),
        "{name}: a plan without steps"
    );
    if let Some(target) = &fix.target {
        assert!(
            changes(plan, target),
            "{name}: {target} is not changed by {steps:#?}"
        );
    }
    assert_priority(name, plan, fix.priority_at_least, fix.priority_at_most);
    assert_warnings(name, plan, &fix.warnings);
}

/// The rule that a plan makes lies where the scenario says that it must.
fn assert_priority(name: &str, plan: &Value, at_least: Option<u16>, at_most: Option<u16>) {
    let Some(steps) = plan["content"]["steps"].as_array() else {
        return;
    };
    for step in steps {
        let Some(priority) = step["effect"]["rule"]["priority"].as_u64() else {
            continue;
        };
        assert!(
            at_least.is_none_or(|least| priority >= least.into())
                && at_most.is_none_or(|most| priority <= most.into()),
            "{name}: priority {priority} is not within {at_least:?} to {at_most:?}"
        );
    }
}

/// The approver is told what the scenario says that they must be told.
fn assert_warnings(name: &str, plan: &Value, expected: &[String]) {
    let warnings = plan["content"]["warnings"].as_array();
    let told: BTreeSet<String> = warnings
        .into_iter()
        .flatten()
        .map(|warning| text(&warning["code"]))
        .collect();
    for code in expected {
        assert!(told.contains(code), "{name}: no warning {code} in {told:?}");
    }
}

macro_rules! scenarios {
    ($($test:ident = $name:literal),* $(,)?) => {
        const WALKED: &[&str] = &[$($name),*];
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                walk($name).await;
            }
        )*
    };
}

scenarios! {
    agent_hung_and_budget = "agent-hung-and-budget",
    agent_on_blocked_node = "agent-on-blocked-node",
    agent_stale = "agent-stale",
    agent_stale_and_iptables = "agent-stale-and-iptables",
    agent_stale_one_of_two = "agent-stale-one-of-two",
    agents_evicted_by_taint = "agents-evicted-by-taint",
    aks_link_healthy = "aks-link-healthy",
    aks_link_stale = "aks-link-stale",
    egress_9000_konnectivity_decoy = "egress-9000-konnectivity-decoy",
    egress_firewall_and_iptables = "egress-firewall-and-iptables",
    egress_firewall_denies_first = "egress-firewall-denies-first",
    egress_firewall_konnectivity = "egress-firewall-konnectivity",
    egress_firewall_konnectivity_decoy = "egress-firewall-konnectivity-decoy",
    egress_firewall_parent_policy = "egress-firewall-parent-policy",
    egress_firewall_policy_aks_link = "egress-firewall-policy-aks-link",
    egress_firewall_tunnelfront = "egress-firewall-tunnelfront",
    egress_nsg_aks_link = "egress-nsg-aks-link",
    egress_nsg_konnectivity = "egress-nsg-konnectivity",
    egress_nsg_tunnelfront = "egress-nsg-tunnelfront",
    egress_route_appliance = "egress-route-appliance",
    healthy = "healthy",
    iptables_and_unreadable_node = "iptables-and-unreadable-node",
    iptables_both_backends = "iptables-both-backends",
    iptables_drop = "iptables-drop",
    iptables_drop_from_agent = "iptables-drop-from-agent",
    iptables_forward_decoy = "iptables-forward-decoy",
    iptables_hostile_comment = "iptables-hostile-comment",
    iptables_ipv6_decoy = "iptables-ipv6-decoy",
    iptables_long_ruleset = "iptables-long-ruleset",
    iptables_policy_drop = "iptables-policy-drop",
    iptables_reject_legacy = "iptables-reject-legacy",
    iptables_user_chain = "iptables-user-chain",
    konnectivity_out_of_memory = "konnectivity-out-of-memory",
    konnectivity_underscaled = "konnectivity-underscaled",
    kubelet_down = "kubelet-down",
    kubelet_no_certificate = "kubelet-no-certificate",
    kubelet_plain_http = "kubelet-plain-http",
    no_agent_running = "no-agent-running",
    nsg_admin_rule_always_allows_decoy = "nsg-admin-rule-always-allows-decoy",
    nsg_admin_rule_denies = "nsg-admin-rule-denies",
    nsg_admin_rule_denies_egress = "nsg-admin-rule-denies-egress",
    nsg_admin_rule_hands_on = "nsg-admin-rule-hands-on",
    nsg_admin_rules_forbidden = "nsg-admin-rules-forbidden",
    nsg_allows_but_other_cause = "nsg-allows-but-other-cause",
    nsg_and_dead_kubelet = "nsg-and-dead-kubelet",
    nsg_and_iptables = "nsg-and-iptables",
    nsg_application_security_group = "nsg-application-security-group",
    nsg_both_levels = "nsg-both-levels",
    nsg_deny_10250 = "nsg-deny-10250",
    nsg_deny_all_inbound_custom = "nsg-deny-all-inbound-custom",
    nsg_deny_async_failure = "nsg-deny-async-failure",
    nsg_deny_decoy_shadowed = "nsg-deny-decoy-shadowed",
    nsg_deny_decoy_udp = "nsg-deny-decoy-udp",
    nsg_deny_etag_conflict = "nsg-deny-etag-conflict",
    nsg_deny_outbound = "nsg-deny-outbound",
    nsg_deny_throttled = "nsg-deny-throttled",
    nsg_lockdown = "nsg-lockdown",
    nsg_nic_level = "nsg-nic-level",
    nsg_no_free_priority = "nsg-no-free-priority",
    nsg_one_destination = "nsg-one-destination",
    nsg_stricter_rule_above = "nsg-stricter-rule-above",
    out_of_memory_elsewhere_decoy = "out-of-memory-elsewhere-decoy",
    private_nsg_deny = "private-nsg-deny",
    private_route_asymmetric = "private-route-asymmetric",
    route_api_server_direct_decoy = "route-api-server-direct-decoy",
    route_api_server_missing = "route-api-server-missing",
    route_asymmetric_answers = "route-asymmetric-answers",
    route_both_ways_firewall_decoy = "route-both-ways-firewall-decoy",
    run_command_busy = "run-command-busy",
    snat_default_ports_large_pool = "snat-default-ports-large-pool",
    snat_exhausted = "snat-exhausted",
    snat_exhausted_and_nsg = "snat-exhausted-and-nsg",
    snat_exhausted_by_many = "snat-exhausted-by-many",
    snat_exhausted_elsewhere = "snat-exhausted-elsewhere",
    snat_many_connections_decoy = "snat-many-connections-decoy",
    snat_nat_gateway = "snat-nat-gateway",
    snat_nat_gateway_decoy = "snat-nat-gateway-decoy",
    snat_nat_gateway_own_network = "snat-nat-gateway-own-network",
    tunnelfront_stale = "tunnelfront-stale",
    two_agents = "two-agents",
    ufw_absent = "ufw-absent",
    ufw_allow_after_deny = "ufw-allow-after-deny",
    ufw_and_iptables = "ufw-and-iptables",
    ufw_default_deny = "ufw-default-deny",
    ufw_deny = "ufw-deny",
    ufw_forward_drop = "ufw-forward-drop",
    ufw_french = "ufw-french",
    ufw_inactive_decoy = "ufw-inactive-decoy",
    vnet_integration_healthy = "vnet-integration-healthy",
    vnet_integration_iptables_drop = "vnet-integration-iptables-drop",
    vnet_integration_nsg_deny = "vnet-integration-nsg-deny",
}

#[test]
fn every_scenario_of_the_lab_is_walked() {
    let walked: BTreeSet<&str> = WALKED.iter().copied().collect();
    let there: BTreeSet<&str> = builtin_scenario_names().into_iter().collect();
    assert_eq!(walked, there);
}

/// Plugins that must find their cause, and whether confirmed.
fn finding(expect: &Expectations) -> Vec<(&'static str, bool)> {
    let mut finding = vec![];
    for (cause, judgement) in &expect.findings {
        for plugin in plugins_of(*cause) {
            match expect.plugins.get(*plugin).unwrap_or(judgement) {
                Judgement::Confirmed => finding.push((*plugin, true)),
                Judgement::Suspected => finding.push((*plugin, false)),
                Judgement::RuledOut | Judgement::Unknown => {}
            }
        }
    }
    finding
}

#[test]
fn every_scenario_says_what_confirms_a_cause_and_what_becomes_of_each_that_is_found() {
    let mut wrong = vec![];
    for name in WALKED {
        let expect = builtin_scenario(name).unwrap().expect;
        for (plugin, confirmed) in finding(&expect) {
            if confirmed && expect.evidence.get(plugin).is_none_or(Vec::is_empty) {
                wrong.push(format!("{name}: {plugin} confirms without evidence"));
            }
            let has_fix = expect.fixes.iter().any(|fix| fix.plugin == plugin);
            let has_advice = expect.advice.iter().any(|advice| advice.plugin == plugin);
            if !has_fix && !has_advice {
                wrong.push(format!(
                    "{name}: {plugin} finds, and no plan is asked of it"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_plugin_that_is_shipped_is_held_to_a_cause() {
    let held: BTreeSet<&str> = Cause::ALL
        .iter()
        .flat_map(|cause| plugins_of(*cause))
        .copied()
        .collect();
    let shipped = naosu_bundle::GUESTS.iter();
    let forgotten: Vec<&&str> = shipped.filter(|plugin| !held.contains(**plugin)).collect();
    assert!(forgotten.is_empty(), "{forgotten:?}");
}

/// Set to have the test write the README instead of comparing.
const WRITE_MATRIX: &str = "NAOSU_WRITE_MATRIX";

#[test]
fn the_readme_shows_the_matrix_that_the_walks_hold_to() {
    let shipped: BTreeSet<String> = naosu_bundle::GUESTS
        .iter()
        .map(|plugin| (*plugin).to_owned())
        .collect();
    let scenarios: BTreeMap<&str, Walked> = WALKED
        .iter()
        .map(|name| {
            let scenario = builtin_scenario(name).unwrap();
            (*name, promised(&scenario.expect, &shipped))
        })
        .collect();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md");
    let readme = std::fs::read_to_string(path).unwrap();
    let wanted = matrix::placed(&readme, &matrix::render(&scenarios)).unwrap();
    if std::env::var_os(WRITE_MATRIX).is_some() {
        std::fs::write(path, wanted).unwrap();
    } else {
        assert!(
            readme == wanted,
            "README.md does not show what the tests walk: run `make matrix` and commit it"
        );
    }
}
