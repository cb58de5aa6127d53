//! Findings and what they rest on.

use naosu_engine::model::{
    Bearing, Diagnosis, Evidence, Finding, Hint, HintKind, Judgement, PluginFailure, Principal,
    Symptom, Unreadable,
};
use naosu_proto::v1;

use super::macros::{wire_enum, wire_message, wire_optional};

wire_enum!(
    Judgement = v1::Judgement {
        Confirmed,
        Suspected,
        Unknown,
        RuledOut
    }
);

wire_message!(
    Principal = v1::Principal {
        name,
        is_assistant,
        acts_for
    }
);

wire_optional!(Principal, v1::Principal);
wire_message!(Symptom = v1::Symptom { text, nodes });
wire_enum!(
    HintKind = v1::HintKind {
        DialTimeout,
        ConnectionLost,
        NoAgent,
        Refused,
        KubeletTls,
        PlainHttp,
        NotAuthorized,
        ApiServer,
        Webhook,
        Workload,
        Unrecognized,
    }
);
wire_enum!(
    Bearing = v1::Bearing {
        Tunnel,
        Elsewhere,
        Open
    }
);
wire_message!(
    Hint = v1::Hint {
        kind,
        bearing,
        meaning,
        next,
        causes,
        nodes,
        addresses,
        ports,
        unknown_nodes,
        probe,
    }
);
wire_optional!(Hint, v1::Hint);
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
    Unreadable = v1::Unreadable {
        code,
        message,
        next,
        reads
    }
);
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
        hint,
        tunnel,
        | not_readable = Diagnosis::unreadable
    }
);
