//! Packets: what is needed, and what a step changes.

use naosu_engine::model::{Delta, Flow};
use naosu_flow::delta::{DeltaReport, FlowBox, UnknownAtom};
use naosu_proto::v1::{self, delta::Delta as Kind};

use super::{
    Wire, WireError,
    macros::{wire_message, wire_optional_and_list},
};

wire_message!(
    Flow = v1::Flow {
        protocol,
        source_prefixes,
        destination_prefixes,
        destination_ports,
    }
);
wire_message!(
    FlowBox = v1::FlowBox {
        direction,
        src,
        dst,
        protocol,
        source_ports,
        ports,
        state,
        conditions,
    }
);
wire_message!(UnknownAtom = v1::UnknownAtom { name, reason });
wire_message!(
    DeltaReport = v1::DeltaReport {
        newly_allowed,
        newly_denied,
        unknown,
        atoms,
        words,
    }
);

impl Wire<v1::Delta> for Delta {
    fn into_wire(self) -> v1::Delta {
        let kind = match self {
            Self::NotAFirewall => Kind::NotAFirewall(v1::NotAFirewall {}),
            Self::Computed { report, excess } => Kind::Computed(v1::ComputedDelta {
                report: report.into_wire(),
                excess: excess.into_wire(),
            }),
            Self::Unknown { error } => Kind::Unknown(v1::UnknownDelta {
                error: error.into_wire(),
            }),
        };
        v1::Delta { delta: Some(kind) }
    }

    fn from_wire(wire: v1::Delta) -> Result<Self, WireError> {
        match wire.delta {
            Some(Kind::NotAFirewall(v1::NotAFirewall {})) => Ok(Self::NotAFirewall),
            Some(Kind::Computed(v1::ComputedDelta { report, excess })) => Ok(Self::Computed {
                report: Wire::from_wire(report).map_err(|e| e.within("report"))?,
                excess: Wire::from_wire(excess).map_err(|e| e.within("excess"))?,
            }),
            Some(Kind::Unknown(v1::UnknownDelta { error })) => Ok(Self::Unknown {
                error: Wire::from_wire(error).map_err(|e| e.within("error"))?,
            }),
            None => Err(WireError::new("is missing")),
        }
    }
}
wire_optional_and_list!(Delta, v1::Delta);
