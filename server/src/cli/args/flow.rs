//! The arguments of `naosu flow`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use naosu_flow::set::Direction;

/// Questions about firewall rules.
#[derive(Debug, Subcommand)]
pub enum FlowCommand {
    /// Say whether a packet passes, which rule decides, and what is not known.
    #[command(after_long_help = "\
The packet is the first of a connection. All given rules are asked, in the order
packets meet them. Inbound: security admin rules, subnet NSG, interface NSG, node
firewall; outbound: node firewall, security admin rules, interface NSG, subnet NSG.
What a security admin rule always allows, no security group denies.

Examples:
  naosu flow explain --nsg nsg.json --from 10.1.0.4 --to 10.224.0.5 \\
    --port 10250/tcp --vnet-prefix 10.224.0.0/16
  iptables-save | naosu flow explain --iptables /dev/stdin \\
    --from 10.224.0.4 --to 10.224.0.5 --port 10250/tcp --output json")]
    Explain(Box<ExplainArgs>),
    /// Say for which packets a change of rules changes the verdict.
    #[command(after_long_help = "\
Examples:
  naosu flow delta --kind nsg --before old.json --after new.json
  naosu flow delta --kind nsg --before old.json --after new.json \\
    --admin-rules admin.json
  naosu flow delta --kind iptables --before old.save --after new.save \
    --node-address 10.224.0.5/16")]
    Delta(DeltaArgs),
    /// Print the JSON schema of what `--output json` gives.
    Schema,
}

/// Which packet, and the rules it meets.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The packet.
    #[command(flatten)]
    pub packet: PacketArgs,
    /// A network security group, as ARM returns it in JSON.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["subnet_nsg", "nic_nsg"])]
    pub nsg: Option<PathBuf>,
    /// The network security group of the subnet, as ARM returns it.
    #[arg(long, value_name = "FILE")]
    pub subnet_nsg: Option<PathBuf>,
    /// The network security group of the network interface, as ARM returns it.
    #[arg(long, value_name = "FILE")]
    pub nic_nsg: Option<PathBuf>,
    /// What security admin rules are in force.
    #[command(flatten)]
    pub admin_rules: AdminRulesArg,
    /// Output of iptables-save on the node; once a backend (nft, legacy).
    #[arg(long, value_name = "FILE")]
    pub iptables: Vec<PathBuf>,
    /// Output of ip6tables-save on the node; once a backend (nft, legacy).
    #[arg(long, value_name = "FILE")]
    pub ip6tables: Vec<PathBuf>,
    /// Output of `nft list tables` on the node: what tables that are not those of
    /// iptables do is then unknown, and not left out.
    #[arg(long, value_name = "FILE")]
    pub nft_tables: Option<PathBuf>,
    /// What is known of the node.
    #[command(flatten)]
    pub node: KnownNode,
    /// What service tags stand for.
    #[command(flatten)]
    pub network: KnownNetwork,
}

/// What is known of the node whose rules are given; what is not is unknown in
/// the answer.
#[derive(Debug, Args)]
pub struct KnownNode {
    /// An address of the node with its prefix length; give all of them or none.
    /// Without them, packets between two different addresses are taken for those of
    /// two machines.
    #[arg(long = "node-address", value_name = "ADDRESS/LENGTH")]
    pub addresses: Vec<String>,
    /// The node's interface that packets arrive at or leave by.
    #[arg(long, value_name = "NAME")]
    pub interface: Option<String>,
    /// The mark of the socket that sends on the node (SO_MARK), such as 0 or 0x4000.
    #[arg(long, value_name = "MARK")]
    pub socket_mark: Option<String>,
}

/// One packet. Its parts are read by the command, so that a wrong one fails
/// with a stable code.
#[derive(Debug, Args)]
pub struct PacketArgs {
    /// Source address.
    #[arg(long, value_name = "IP")]
    pub from: String,
    /// Destination address.
    #[arg(long, value_name = "IP")]
    pub to: String,
    /// Destination port and protocol (tcp, udp or sctp), such as 10250/tcp.
    #[arg(
        long,
        value_name = "PORT/PROTOCOL",
        required_unless_present = "protocol"
    )]
    pub port: Option<String>,
    /// A protocol without ports, in place of --port: icmp, icmpv6, esp, ah, gre or a
    /// number.
    #[arg(long, value_name = "PROTOCOL", conflicts_with_all = ["port", "source_port"])]
    pub protocol: Option<String>,
    /// Source port.
    #[arg(long, value_name = "PORT", default_value = "49152")]
    pub source_port: String,
    /// Which way it goes, seen from the machine whose rules are given.
    #[arg(long, value_enum, default_value_t)]
    pub direction: DirectionArg,
}

/// Directions of a packet.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub enum DirectionArg {
    /// Towards the machine.
    #[default]
    Inbound,
    /// Away from it.
    Outbound,
}

impl From<DirectionArg> for Direction {
    fn from(direction: DirectionArg) -> Self {
        match direction {
            DirectionArg::Inbound => Self::Inbound,
            DirectionArg::Outbound => Self::Outbound,
        }
    }
}

/// What is known of service tags; what is not is unknown in the answer.
#[derive(Debug, Args)]
pub struct KnownNetwork {
    /// Prefix of the virtual network or of what is connected to it; all of
    /// them give VirtualNetwork and Internet their meaning.
    #[arg(long = "vnet-prefix", value_name = "CIDR")]
    pub vnet_prefixes: Vec<String>,
    /// The list of service tags, as ARM returns it.
    #[arg(long, value_name = "FILE")]
    pub service_tags: Option<PathBuf>,
}

/// Security admin rules.
#[derive(Debug, Args)]
pub struct AdminRulesArg {
    /// Security admin rules of Azure Virtual Network Manager in force on the
    /// network, as ARM returns them: POST to the id of the network followed by
    /// /listNetworkManagerEffectiveSecurityAdminRules.
    #[arg(long = "admin-rules", value_name = "FILE")]
    pub file: Option<PathBuf>,
}

/// The rules before and after.
#[derive(Debug, Args)]
pub struct DeltaArgs {
    /// What the files are.
    #[arg(long, value_enum)]
    pub kind: RulesetKind,
    /// The rules before the change.
    #[arg(long, value_name = "FILE")]
    pub before: PathBuf,
    /// The rules after the change.
    #[arg(long, value_name = "FILE")]
    pub after: PathBuf,
    /// What is known of the node; of rules of iptables.
    #[command(flatten)]
    pub node: KnownNode,
    /// What security admin rules are in force; of `--kind nsg`.
    #[command(flatten)]
    pub admin_rules: AdminRulesArg,
    /// What service tags stand for.
    #[command(flatten)]
    pub network: KnownNetwork,
}

/// Kinds of rule files.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum RulesetKind {
    /// A network security group, as ARM returns it in JSON.
    Nsg,
    /// Output of iptables-save.
    Iptables,
    /// Output of ip6tables-save.
    Ip6tables,
}
