//! Nothing is lost between the model and `naosu.v1`.

use naosu_engine::{
    facade::DiagnoseProgress,
    model::{Diagnosis, Digest, Plan, PluginInfo, Run},
};
use naosu_proto::v1;
use naosu_server::grpc::wire::Wire;
use proptest::prelude::*;
use prost::Message;

use crate::model::any_of;

/// Through the bytes that really travel.
fn travelled<M: Message + Default, T: Wire<M>>(value: T) -> T {
    let message = M::decode(value.into_wire().encode_to_vec().as_slice()).unwrap();
    T::from_wire(message).unwrap_or_else(|e| panic!("{e}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_plan_survives_and_its_content_has_the_same_digest(plan in any_of::<Plan>()) {
        let before = Digest::of_value(&plan.content).unwrap();
        let after = travelled::<v1::Plan, _>(plan.clone());
        prop_assert_eq!(before, Digest::of_value(&after.content).unwrap());
        prop_assert_eq!(plan, after);
    }

    #[test]
    fn a_diagnosis_survives(diagnosis in any_of::<Diagnosis>()) {
        prop_assert_eq!(diagnosis.clone(), travelled::<v1::Diagnosis, _>(diagnosis));
    }

    #[test]
    fn a_run_and_its_journal_survive(run in any_of::<Run>()) {
        prop_assert_eq!(run.clone(), travelled::<v1::Run, _>(run));
    }

    #[test]
    fn a_plugin_survives(plugin in any_of::<PluginInfo>()) {
        prop_assert_eq!(plugin.clone(), travelled::<v1::Plugin, _>(plugin));
    }

    #[test]
    fn progress_survives(progress in any_of::<DiagnoseProgress>()) {
        prop_assert_eq!(progress.clone(), travelled::<v1::DiagnoseResponse, _>(progress));
    }
}

#[test]
fn what_is_missing_is_named_by_its_path() {
    let step = v1::Step {
        title: "t".into(),
        effect: Some(v1::Effect { effect: None }),
        ..v1::Step::default()
    };
    let result: Result<Vec<naosu_engine::model::Step>, _> = Wire::from_wire(vec![step]);
    assert_eq!(result.unwrap_err().field, "[0].effect");
}
