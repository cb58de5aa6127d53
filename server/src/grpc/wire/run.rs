//! Runs and their journal.

use naosu_engine::model::{Entry, Event, Run, RunState, StepState, journal::Way};
use naosu_proto::v1::{self, event::Event as Kind};

use super::{
    Wire, WireError,
    macros::{wire_enum, wire_list, wire_message, wire_optional_and_list},
};

wire_enum!(
    RunState = v1::RunState {
        Applying,
        Verifying,
        Succeeded,
        RollingBack,
        RolledBack,
        Stuck,
        Cancelled,
    }
);
wire_enum!(
    StepState = v1::StepState {
        Pending,
        InFlight,
        Applied,
        Refused,
        TakenBack
    }
);
wire_list!(StepState, i32);
wire_enum!(Way = v1::Way { Forward, Back });

impl Wire<v1::Event> for Event {
    fn into_wire(self) -> v1::Event {
        let kind = match self {
            Self::Started {
                plan,
                digest,
                principal,
            } => Kind::Started(v1::StartedEvent {
                plan: plan.into_wire(),
                digest: digest.into_wire(),
                principal: principal.into_wire(),
            }),
            Self::Intent { step, way, attempt } => Kind::Intent(v1::IntentEvent {
                step,
                way: way.into_wire(),
                attempt,
            }),
            Self::Applied {
                step,
                way,
                already_in_place,
                detail,
            } => Kind::Applied(v1::AppliedEvent {
                step,
                way: way.into_wire(),
                already_in_place,
                detail,
            }),
            Self::Refused { step, way, error } => Kind::Refused(v1::RefusedEvent {
                step,
                way: way.into_wire(),
                error: error.into_wire(),
            }),
            Self::VerifyStarted => Kind::VerifyStarted(v1::VerifyStartedEvent {}),
            Self::Probed { way, tunnel } => Kind::Probed(v1::ProbedEvent {
                way: way.into_wire(),
                tunnel: tunnel.into_wire(),
            }),
            Self::Verified {
                mended,
                summary,
                tunnel,
            } => Kind::Verified(v1::VerifiedEvent {
                mended,
                summary,
                tunnel: tunnel.into_wire(),
            }),
            Self::RollbackStarted { reason, principal } => {
                Kind::RollbackStarted(v1::RollbackStartedEvent {
                    reason,
                    principal: principal.into_wire(),
                })
            }
            Self::Succeeded => Kind::Succeeded(v1::SucceededEvent {}),
            Self::RolledBack => Kind::RolledBack(v1::RolledBackEvent {}),
            Self::Cancelled { reason } => Kind::Cancelled(v1::CancelledEvent { reason }),
            Self::Stuck { error } => Kind::Stuck(v1::StuckEvent {
                error: error.into_wire(),
            }),
        };
        v1::Event { event: Some(kind) }
    }

    fn from_wire(wire: v1::Event) -> Result<Self, WireError> {
        let kind = wire.event.ok_or_else(|| WireError::new("is missing"))?;
        Ok(match kind {
            Kind::Started(v1::StartedEvent {
                plan,
                digest,
                principal,
            }) => Self::Started {
                plan: read(plan, "started.plan")?,
                digest: read(digest, "started.digest")?,
                principal: read(principal, "started.principal")?,
            },
            Kind::Intent(v1::IntentEvent { step, way, attempt }) => Self::Intent {
                step,
                way: read(way, "intent.way")?,
                attempt,
            },
            Kind::Applied(v1::AppliedEvent {
                step,
                way,
                already_in_place,
                detail,
            }) => Self::Applied {
                step,
                way: read(way, "applied.way")?,
                already_in_place,
                detail,
            },
            Kind::Refused(v1::RefusedEvent { step, way, error }) => Self::Refused {
                step,
                way: read(way, "refused.way")?,
                error: read(error, "refused.error")?,
            },
            Kind::VerifyStarted(v1::VerifyStartedEvent {}) => Self::VerifyStarted,
            Kind::Probed(v1::ProbedEvent { way, tunnel }) => Self::Probed {
                way: read(way, "probed.way")?,
                tunnel: read(tunnel, "probed.tunnel")?,
            },
            Kind::Verified(v1::VerifiedEvent {
                mended,
                summary,
                tunnel,
            }) => Self::Verified {
                mended,
                summary,
                tunnel: read(tunnel, "verified.tunnel")?,
            },
            Kind::RollbackStarted(v1::RollbackStartedEvent { reason, principal }) => {
                Self::RollbackStarted {
                    reason,
                    principal: read(principal, "rollback_started.principal")?,
                }
            }
            Kind::Succeeded(v1::SucceededEvent {}) => Self::Succeeded,
            Kind::RolledBack(v1::RolledBackEvent {}) => Self::RolledBack,
            Kind::Cancelled(v1::CancelledEvent { reason }) => Self::Cancelled { reason },
            Kind::Stuck(v1::StuckEvent { error }) => Self::Stuck {
                error: read(error, "stuck.error")?,
            },
        })
    }
}
wire_optional_and_list!(Event, v1::Event);

fn read<W, T: Wire<W>>(wire: W, field: &str) -> Result<T, WireError> {
    T::from_wire(wire).map_err(|e| e.within(field))
}

wire_message!(
    Entry = v1::Entry {
        run,
        sequence,
        at,
        event
    }
);
wire_message!(
    Run = v1::Run {
        id,
        plan,
        plan_digest,
        cluster,
        principal,
        state,
        steps,
        summary,
        started_at,
        updated_at,
        entries,
    }
);
