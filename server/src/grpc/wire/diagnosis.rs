//! Findings and what they rest on.

use naosu_engine::model::{
    Diagnosis, Evidence, Finding, Judgement, PluginFailure, Principal, Symptom,
};
use naosu_proto::v1;

use super::{
    Wire, WireError,
    macros::{wire_enum, wire_message},
};

wire_enum!(
    Judgement = v1::Judgement {
        Confirmed,
        Suspected,
        Unknown,
        RuledOut
    }
);

wire_message!(Principal = v1::Principal { name, is_assistant });

impl Wire<Option<v1::Principal>> for Option<Principal> {
    fn into_wire(self) -> Option<v1::Principal> {
        self.map(Wire::into_wire)
    }

    fn from_wire(wire: Option<v1::Principal>) -> Result<Self, WireError> {
        wire.map(Wire::from_wire).transpose()
    }
}

wire_message!(Symptom = v1::Symptom { text, nodes });
wire_message!(
    Evidence = v1::Evidence {
        resource,
        field,
        value,
        observed_at,
        meaning
    }
);
wire_message!(Finding = v1::Finding {
    plugin,
    cause,
    judgement,
    summary,
    evidence,
    required_flows,
    infeasible;
    subject => subject_json,
});
wire_message!(PluginFailure = v1::PluginFailure { plugin, error });
wire_message!(
    Diagnosis = v1::Diagnosis {
        id,
        cluster,
        symptom,
        requester,
        started_at,
        finished_at,
        findings,
        failures,
        observations,
        observations_digest,
    }
);
