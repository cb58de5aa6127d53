//! How much can go wrong with each kind of effect, and how much more where it is not
//! known which packets it changes.

mod support;

use naosu_engine::{
    Code, Error,
    effect::{
        caution::{self, Caution},
        facts::ClusterFacts,
    },
    model::{Delta, Effect, EffectKind, Inverse, Risk},
};
use naosu_flow::delta::{DeltaReport, FlowBox, UnknownAtom};
use support::cases::case;

const UNKNOWN: &str = "delta_partly_unknown";
const WIDER: &str = "wider_than_needed";

fn packets() -> FlowBox {
    FlowBox {
        direction: "inbound".into(),
        src: vec!["0.0.0.0/0".into()],
        dst: vec!["0.0.0.0/0".into()],
        protocol: "TCP".into(),
        ports: vec!["10250".into()],
        source_ports: vec!["0-65535".into()],
        state: vec!["new".into()],
        conditions: vec![],
    }
}

fn known() -> Delta {
    Delta::Computed {
        report: DeltaReport::default(),
        excess: vec![],
    }
}

/// Some of it depends on what nobody could read.
fn partly_unknown() -> Delta {
    Delta::Computed {
        report: DeltaReport {
            unknown: vec![packets()],
            atoms: vec![UnknownAtom {
                name: "source in service tag mine".into(),
                reason: "it may not be read".into(),
            }],
            ..DeltaReport::default()
        },
        excess: vec![],
    }
}

fn not_computed() -> Delta {
    Delta::Unknown {
        error: Error::new(Code::AnalysisTooComplex, "too many rules", "look"),
    }
}

fn wider() -> Delta {
    Delta::Computed {
        report: DeltaReport::default(),
        excess: vec![packets()],
    }
}

fn assessed(effect: &Effect, facts: &ClusterFacts, delta: &Delta) -> Caution {
    let inverse = Inverse::Effect {
        effect: effect.clone(),
    };
    caution::assess(effect, facts, &inverse, delta).unwrap()
}

fn warns(caution: &Caution, code: &str) -> bool {
    caution.warnings.iter().any(|warning| warning.code == code)
}

/// The risk of a kind, and where packets could be at stake that where they are not
/// known.
fn expected(kind: EffectKind) -> (Risk, Option<Risk>) {
    match kind {
        EffectKind::NsgRuleCreate
        | EffectKind::NsgRuleDelete
        | EffectKind::FirewallRuleAdd
        | EffectKind::FirewallRuleRemove => (Risk::Medium, Some(Risk::High)),
        EffectKind::NsgRulesReplace
        | EffectKind::UfwRuleInsert
        | EffectKind::UfwRuleDelete
        | EffectKind::UfwEnable
        | EffectKind::UfwDisable
        | EffectKind::IptablesRuleInsert
        | EffectKind::IptablesRuleDelete => (Risk::High, Some(Risk::Highest)),
        // Nobody knows beforehand what a person does.
        EffectKind::Manual => (Risk::Low, Some(Risk::High)),
        // There is nothing higher.
        EffectKind::ArmPatch | EffectKind::KubernetesPatch => (Risk::Highest, Some(Risk::Highest)),
        EffectKind::PodEvict | EffectKind::RolloutRestart => (Risk::Low, None),
        EffectKind::ConfigMapSet => (Risk::Medium, None),
        EffectKind::NetworkProfileSet => (Risk::High, None),
    }
}

#[test]
fn each_kind_has_its_risk_and_a_higher_one_where_its_packets_are_not_known() {
    let facts = ClusterFacts::default();
    for kind in EffectKind::ALL {
        let effect = case(*kind).effect;
        let (risk, unknown) = expected(*kind);
        for delta in [known(), Delta::NotAFirewall] {
            let caution = assessed(&effect, &facts, &delta);
            assert_eq!(caution.risk, risk, "{kind:?}");
            assert!(!warns(&caution, UNKNOWN), "{kind:?}");
        }
        let Some(unknown) = unknown else {
            continue;
        };
        assert!(unknown > risk || risk == Risk::Highest, "{kind:?}");
        for delta in [partly_unknown(), not_computed()] {
            let caution = assessed(&effect, &facts, &delta);
            assert_eq!(caution.risk, unknown, "{kind:?}");
            assert!(warns(&caution, UNKNOWN), "{kind:?}");
        }
    }
}

#[test]
fn in_the_group_of_aks_a_rule_is_riskier_and_more_so_where_its_packets_are_not_known() {
    let facts = ClusterFacts {
        node_resource_group: "net".into(),
        ..ClusterFacts::default()
    };
    for kind in [EffectKind::NsgRuleCreate, EffectKind::NsgRuleDelete] {
        let effect = case(kind).effect;
        let risk = |delta: &Delta| assessed(&effect, &facts, delta).risk;
        assert_eq!(risk(&known()), Risk::High, "{kind:?}");
        assert_eq!(risk(&partly_unknown()), Risk::Highest, "{kind:?}");
    }
}

#[test]
fn what_opens_more_than_is_needed_is_marked_and_of_high_risk_at_least() {
    let facts = ClusterFacts::default();
    for kind in EffectKind::ALL {
        let caution = assessed(&case(*kind).effect, &facts, &wider());
        assert_eq!(caution.risk, expected(*kind).0.max(Risk::High), "{kind:?}");
        let marks = caution.warnings.iter().filter(|w| w.code == WIDER);
        let marks: Vec<&str> = marks.map(|w| w.message.as_str()).collect();
        let [mark] = marks.as_slice() else {
            panic!("{kind:?} {marks:?}");
        };
        assert!(mark.contains("port 10250"), "{mark}");
    }
}
