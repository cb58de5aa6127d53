//! What the tunnel answered.

use naosu_engine::model::{NodeAnswer, TunnelAnswer, TunnelAnswers, WayAnswers};
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
    WayAnswers = v1::WayAnswers {
        tried,
        reached,
        others,
        error
    }
);
wire_optional!(WayAnswers, v1::WayAnswers);
wire_message!(
    TunnelAnswers = v1::TunnelAnswers {
        nodes,
        asked,
        reached,
        others,
        error,
        reached_nodes,
        logs,
        from_agents
    }
);
wire_optional!(TunnelAnswers, v1::TunnelAnswers);
