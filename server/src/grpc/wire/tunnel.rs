//! What the tunnel answered.

use naosu_engine::model::{NodeAnswer, TunnelAnswer, TunnelAnswers};
use naosu_proto::v1;

use super::macros::{wire_enum, wire_message, wire_optional};

wire_enum!(
    TunnelAnswer = v1::TunnelAnswer {
        KubeletFault,
        Sometimes,
        Silent,
        Unknown
    }
);
wire_message!(
    NodeAnswer = v1::NodeAnswer {
        node,
        answer,
        detail
    }
);
wire_message!(
    TunnelAnswers = v1::TunnelAnswers {
        nodes,
        asked,
        reached,
        others,
        error
    }
);
wire_optional!(TunnelAnswers, v1::TunnelAnswers);
