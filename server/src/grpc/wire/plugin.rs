//! Loaded plugins.

use naosu_engine::model::{Capability, Parameter, ParameterType, PluginInfo};
use naosu_proto::v1;

use super::macros::{wire_enum, wire_list, wire_message};

wire_enum!(
    Capability = v1::Capability {
        AzureRead,
        AzureMetrics,
        KubernetesRead,
        NodeRead,
        Probe,
    }
);
wire_list!(Capability, i32);
wire_enum!(
    ParameterType = v1::ParameterType {
        Text,
        Integer,
        Boolean
    }
);
wire_message!(Parameter = v1::Parameter {
    name,
    summary,
    required;
    parameter_type => r#type,
    default => default_json,
});
wire_message!(
    PluginInfo = v1::Plugin {
        id,
        version,
        digest,
        contract,
        cause,
        summary,
        fix,
        parameters,
        capabilities,
        effects,
        imports,
        source,
    }
);
