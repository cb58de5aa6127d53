//! Plans and decisions.

use naosu_engine::model::{
    Approval, Decision, DryRun, Inverse, Plan, PlanState, Precondition, Risk, Step, Warning,
    plan::PlanContent,
};
use naosu_proto::v1::{self, inverse::Inverse as Kind};

use super::{
    Wire, WireError,
    macros::{wire_enum, wire_message, wire_optional_and_list},
};

wire_enum!(
    PlanState = v1::PlanState {
        PendingApproval,
        Approved,
        Rejected,
        Expired
    }
);
wire_enum!(
    Risk = v1::Risk {
        Low,
        Medium,
        High,
        Highest
    }
);
wire_enum!(Decision = v1::Decision { Approve, Reject });

wire_message!(Warning = v1::Warning { code, message });
wire_message!(
    Precondition = v1::Precondition {
        query,
        description,
        digest,
        version
    }
);
wire_message!(DryRun = v1::DryRun { by, request, before, after; body => body_json });

impl Wire<v1::Inverse> for Inverse {
    fn into_wire(self) -> v1::Inverse {
        let kind = match self {
            Self::Effect { effect } => Kind::Effect(effect.into_wire()),
            Self::Irreversible { reason } => Kind::IrreversibleReason(reason),
        };
        v1::Inverse {
            inverse: Some(kind),
        }
    }

    fn from_wire(wire: v1::Inverse) -> Result<Self, WireError> {
        match wire.inverse {
            Some(Kind::Effect(effect)) => Ok(Self::Effect {
                effect: Wire::from_wire(effect).map_err(|e| e.within("effect"))?,
            }),
            Some(Kind::IrreversibleReason(reason)) => Ok(Self::Irreversible { reason }),
            None => Err(WireError::new("is missing")),
        }
    }
}
wire_optional_and_list!(Inverse, v1::Inverse);

wire_message!(
    Step = v1::Step {
        title,
        effect,
        precondition,
        inverse,
        dry_run,
        delta,
        risk,
    }
);
wire_message!(PlanContent = v1::PlanContent {
    cluster,
    diagnosis,
    observations_digest,
    finding,
    plugin,
    plugin_digest,
    summary,
    steps,
    warnings,
    risk,
    policy_version,
    approvals_needed,
    requester,
    created_at,
    expires_at;
    parameters => parameters_json,
});
wire_message!(
    Approval = v1::Approval {
        principal,
        decision,
        digest,
        comment,
        at
    }
);
wire_message!(
    Plan = v1::Plan {
        id,
        digest,
        content,
        state,
        approvals,
        run
    }
);
