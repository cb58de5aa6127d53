//! Each scenario of the lab, walked by the product from symptom to rollback on
//! real packets, and held to what its file expects.

use std::collections::BTreeSet;

use naosu_lab::{Lab, LabOptions, builtin_scenario, builtin_scenario_names};
use naosu_tests::{
    mending::{diagnose, loaded_plugins, mend_and_take_back, text, wrong_judgements},
    product::Naosu,
    tunnel_truth::unreachable_nodes,
};
use serde_json::Value;

/// Scenarios that the product does not get right yet, and why, as far as it is
/// known. A gap that closes fails its test until it is taken from this list; the
/// test does not tell one way of failing from another.
const GAPS: &[(&str, &str)] = &[
    ("agent-stale", "a stale agent is only suspected"),
    ("agent-stale-one-of-two", "a stale agent is only suspected"),
    (
        "agents-evicted-by-taint",
        "without an agent no address is known to judge rules for",
    ),
    (
        "kubelet-no-certificate",
        "the symptom's text is not used to tell a kubelet's own fault",
    ),
    (
        "kubelet-plain-http",
        "the symptom's text is not used to tell a kubelet's own fault",
    ),
    (
        "snat-exhausted",
        "raising the ports does not verify here and is taken back; why is not understood yet",
    ),
    (
        "egress-nsg-aks-link",
        "nsg-allow-port judges 10250 only, not the tunnel's own way out",
    ),
    (
        "egress-nsg-konnectivity",
        "nsg-allow-port judges 10250 only, not the tunnel's own way out",
    ),
    (
        "egress-nsg-tunnelfront",
        "nsg-allow-port judges 10250 only, not the tunnel's own way out",
    ),
    (
        "no-agent-running",
        "the restart does not bring an agent back here; why is not understood yet",
    ),
    (
        "snat-exhausted-elsewhere",
        "failed connections confirm exhaustion even where agents work",
    ),
];

async fn walk_or_gap(name: &'static str) {
    let walked = tokio::spawn(walk(name)).await;
    match (GAPS.iter().find(|(gap, _)| *gap == name), walked) {
        (None, Ok(())) => {}
        (None, Err(failed)) => std::panic::resume_unwind(failed.into_panic()),
        (Some((_, why)), Err(_)) => println!("{name} is a known gap: {why}"),
        (Some(_), Ok(())) => panic!("{name} is no gap any more: take it from the list"),
    }
}

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
    for fix in &lab.scenario().expect.fixes {
        if !loaded.contains(&fix.plugin) {
            println!("{name}: the fix by {} is not built yet", fix.plugin);
            continue;
        }
        if fix.infeasible.is_some() {
            let id = text(&diagnosis["id"]);
            let arguments = ["plan", "create", &id, "--plugin", &fix.plugin];
            let (code, finished) = naosu.failure(&arguments).await.unwrap();
            assert_eq!(code, "infeasible_here", "{name}: {finished}");
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
        let plan = &mending.plan;
        assert!(
            plan["content"]["steps"]
                .as_array()
                .is_some_and(|steps| !steps.is_empty()),
            "{name}: a plan without steps"
        );
        assert_priority(name, plan, fix.priority_at_least, fix.priority_at_most);
        assert_warnings(name, plan, &fix.warnings);
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
                BTreeSet::new(),
                "{name}: the tunnel's own word"
            );
            let taken_back = mending.taken_back.unwrap();
            assert_eq!(taken_back["state"], "ROLLED_BACK", "{name}: {taken_back:#}");
        } else {
            assert_eq!(state, "ROLLED_BACK", "{name}: {:#}", mending.applied);
        }
        assert_eq!(
            mending.unreachable_at_end, before,
            "{name}: not as it was before"
        );
    }
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
                walk_or_gap($name).await;
            }
        )*
    };
}

scenarios! {
    agent_on_blocked_node = "agent-on-blocked-node",
    agent_stale = "agent-stale",
    agent_stale_one_of_two = "agent-stale-one-of-two",
    agents_evicted_by_taint = "agents-evicted-by-taint",
    aks_link_healthy = "aks-link-healthy",
    egress_9000_konnectivity_decoy = "egress-9000-konnectivity-decoy",
    egress_firewall_denies_first = "egress-firewall-denies-first",
    egress_firewall_konnectivity_decoy = "egress-firewall-konnectivity-decoy",
    egress_firewall_policy_aks_link = "egress-firewall-policy-aks-link",
    egress_firewall_tunnelfront = "egress-firewall-tunnelfront",
    egress_nsg_aks_link = "egress-nsg-aks-link",
    egress_nsg_konnectivity = "egress-nsg-konnectivity",
    egress_nsg_tunnelfront = "egress-nsg-tunnelfront",
    egress_route_appliance = "egress-route-appliance",
    healthy = "healthy",
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
    kubelet_down = "kubelet-down",
    kubelet_no_certificate = "kubelet-no-certificate",
    kubelet_plain_http = "kubelet-plain-http",
    no_agent_running = "no-agent-running",
    nsg_allows_but_other_cause = "nsg-allows-but-other-cause",
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
    route_api_server_direct_decoy = "route-api-server-direct-decoy",
    private_nsg_deny = "private-nsg-deny",
    run_command_busy = "run-command-busy",
    snat_exhausted = "snat-exhausted",
    snat_exhausted_elsewhere = "snat-exhausted-elsewhere",
    snat_many_connections_decoy = "snat-many-connections-decoy",
    two_agents = "two-agents",
    ufw_absent = "ufw-absent",
    ufw_allow_after_deny = "ufw-allow-after-deny",
    ufw_and_iptables = "ufw-and-iptables",
    ufw_default_deny = "ufw-default-deny",
    ufw_deny = "ufw-deny",
    ufw_forward_drop = "ufw-forward-drop",
    ufw_french = "ufw-french",
    ufw_inactive_decoy = "ufw-inactive-decoy",
}

#[test]
fn every_scenario_of_the_lab_is_walked() {
    let walked: BTreeSet<&str> = WALKED.iter().copied().collect();
    let there: BTreeSet<&str> = builtin_scenario_names().into_iter().collect();
    assert_eq!(walked, there);
}
