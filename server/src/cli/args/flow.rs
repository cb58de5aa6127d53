//! The arguments of `naosu flow`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use naosu_flow::set::Direction;

/// Questions about firewall rules.
#[derive(Debug, Subcommand)]
pub enum FlowCommand {
    /// Say whether packets pass, which rules stop which of them, and what is not known.
    #[command(after_long_help = "\
One address each and one port ask about one packet; prefixes, ranges and lists
about all of theirs. Meant are the first packets of connections. All given rules
are asked, in the order packets meet them. Towards the machine whose rules are
given: security admin rules, subnet NSG, interface NSG, node firewall; away from
it (--direction outbound): node firewall, security admin rules, interface NSG,
subnet NSG. What a security admin rule always allows, no security group denies.
What the node passes on, such as its pods' packets, is asked of its rules of
iptables alone (--direction forwarded). Without rules of iptables, what ufw says
of itself is asked in their place (--ufw-...); with them, the kernel decides.
What an address sends to itself, or to another of its node (--node-address),
stays on its machine and meets that node's firewall alone.

Files of Azure resources are read as ARM returns them (az rest --method get) and
as az ... show prints them (az network nsg show, az network route-table show,
az network firewall policy show ...), with the members of properties outside.

With rules of the machine that the packets come from (--from-...), of its routes
or of an Azure Firewall, the whole way is followed: node firewall, security admin
rules, interface NSG and subnet NSG of the source, routes, firewall, and then the
rules of the destination. For the tunnel, the source is the node of a tunnel
agent and the destination that of a kubelet.

Packets are whole: where the kernel tracks connections, it puts fragments together
before its rules, so that rules with -f (later fragments) match none of them.

Examples:
  One packet and one security group:
    naosu flow explain --nsg nsg.json --vnet-prefix 10.224.0.0/16 \\
      --from 10.1.0.4 --to 10.224.0.5 --port 10250/tcp
  What of all that nodes send to each other's kubelets is stopped, and by what:
    naosu flow explain --nsg nsg.json --vnet-prefix 10.224.0.0/16 \\
      --from 10.224.0.0/16 --to 10.224.0.0/16 --port 10250/tcp
  One node's firewall:
    iptables-save | naosu flow explain --iptables /dev/stdin \\
      --from 10.224.0.4 --to 10.224.0.5 --port 10250/tcp --output json
  What ufw says, where the kernel's rules are not known:
    naosu flow explain --ufw-status ufw.txt \\
      --from 10.224.0.4 --to 10.224.0.5 --port 10250/tcp
  What a node passes on to its pods:
    naosu flow explain --direction forwarded --iptables node.save \\
      --from 10.224.0.4 --to 10.244.1.7 --port 8080/tcp
  From an agent's node to a kubelet, where it is stopped on the way:
    naosu flow explain --vnet-prefix 10.224.0.0/16 \\
      --from 10.224.0.4 --to 10.224.0.5 --port 10250/tcp \\
      --from-iptables agent.save --from-nic-nsg agent-nic.json \\
      --from-subnet-nsg agents.json --subnet-nsg nodes.json \\
      --nic-nsg node-nic.json --iptables node.save
  From nodes out through a firewall:
    naosu flow explain --vnet-prefix 10.224.0.0/16 \\
      --from 10.224.0.0/16 --to 203.0.113.0/24 --port 443/tcp,123/udp \\
      --from-subnet-nsg nodes.json --route-table routes.json \\
      --firewall firewall.json")]
    Explain(Box<ExplainArgs>),
    /// Say for which packets a change of rules changes the verdict.
    #[command(after_long_help = "\
Packets are whole: a change of a rule with -f (later fragments) changes none of
them, because the kernel puts fragments together before its rules wherever it
tracks connections.

Examples:
  naosu flow delta --kind nsg --before old.json --after new.json
  naosu flow delta --kind nsg --before old.json --after new.json \\
    --admin-rules admin.json
  naosu flow delta --kind iptables --before old.save --after new.save \\
    --node-address 10.224.0.5/16
  naosu flow delta --kind ufw-added --before old.added --after new.added \\
    --ufw-status ufw.txt")]
    Delta(Box<DeltaArgs>),
    /// Say which priority a new rule of a security group must have, with its proof.
    #[command(after_long_help = "\
The priority is the latest with which the wanted packets get the rule's verdict,
no packet outside the rule's match changes, and every stricter rule above stays
in force. Where no such number is free, rules are named that free one when they
are moved, which changes no verdict: the fewest, or it is said that not every way
could be tried. Where there is none, packets show why.

Examples:
  naosu flow place --nsg nsg.json --name allow-kubelet \\
    --from 10.224.0.0/16 --to 10.224.0.0/16 --port 10250/tcp \\
    --vnet-prefix 10.224.0.0/16
  naosu flow place --nsg nsg.json --name allow-kubelet \\
    --from 10.224.0.0/16 --to 10.224.0.0/16 --port 10250/tcp \\
    --rule-from VirtualNetwork --vnet-prefix 10.224.0.0/16
  naosu flow place --nsg nsg.json --name deny-ssh --access deny \\
    --from 0.0.0.0/0 --to 10.224.0.0/16 --port 22/tcp --output json")]
    Place(Box<PlaceArgs>),
    /// Print the JSON schema of what `--output json` gives.
    Schema,
}

/// Which packets, and the rules they meet.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The packets.
    #[command(flatten)]
    pub packets: PacketArgs,
    /// A network security group in JSON, as ARM returns it or `az network nsg show` prints
    /// it; files of other resources of Azure may have either form, too.
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
    /// What ufw says of itself on the node.
    #[command(flatten)]
    pub ufw: UfwArgs,
    /// What is known of the node.
    #[command(flatten)]
    pub node: KnownNode,
    /// The rules of the machine that packets come from.
    #[command(flatten, next_help_heading = "The source's rules, for the whole way")]
    pub source: SourceArgs,
    /// What lies between the two machines.
    #[command(flatten, next_help_heading = "Between source and destination")]
    pub between: BetweenArgs,
    /// What service tags stand for.
    #[command(flatten, next_help_heading = "What is known of the network")]
    pub network: KnownNetwork,
}

/// What ufw says of itself; not asked where rules of iptables are given.
#[derive(Debug, Args)]
pub struct UfwArgs {
    /// Output of `ufw status verbose` on the node, or of `ufw status numbered`, which
    /// does not say what happens where no rule decides.
    #[arg(long = "ufw-status", value_name = "FILE")]
    pub status: Option<PathBuf>,
    /// Output of `ufw show added` on the node: its rules in place of the status's.
    #[arg(
        long = "ufw-added",
        value_name = "FILE",
        conflicts_with_all = ["user_rules", "user6_rules"]
    )]
    pub added: Option<PathBuf>,
    /// /etc/ufw/user.rules of the node: the rules for IPv4 in place of the status's.
    #[arg(long = "ufw-user-rules", value_name = "FILE")]
    pub user_rules: Option<PathBuf>,
    /// /etc/ufw/user6.rules of the node: the rules for IPv6 in place of the status's.
    #[arg(long = "ufw-user6-rules", value_name = "FILE")]
    pub user6_rules: Option<PathBuf>,
}

/// The rules of the machine that packets come from.
#[derive(Debug, Args)]
pub struct SourceArgs {
    /// A network security group of the source.
    #[arg(
        long = "from-nsg",
        value_name = "FILE",
        conflicts_with_all = ["from_subnet_nsg", "from_nic_nsg"]
    )]
    pub from_nsg: Option<PathBuf>,
    /// The network security group of the source's subnet.
    #[arg(long = "from-subnet-nsg", value_name = "FILE")]
    pub from_subnet_nsg: Option<PathBuf>,
    /// The network security group of the source's network interface.
    #[arg(long = "from-nic-nsg", value_name = "FILE")]
    pub from_nic_nsg: Option<PathBuf>,
    /// Security admin rules in force on the source's network, where that is another
    /// one; else --admin-rules is asked on both sides.
    #[arg(long = "from-admin-rules", value_name = "FILE")]
    pub from_admin_rules: Option<PathBuf>,
    /// Output of iptables-save on the source's node; once a backend.
    #[arg(long = "from-iptables", value_name = "FILE")]
    pub from_iptables: Vec<PathBuf>,
    /// Output of ip6tables-save on the source's node; once a backend.
    #[arg(long = "from-ip6tables", value_name = "FILE")]
    pub from_ip6tables: Vec<PathBuf>,
    /// Output of `nft list tables` on the source's node.
    #[arg(long = "from-nft-tables", value_name = "FILE")]
    pub from_nft_tables: Option<PathBuf>,
    /// Output of `ufw status verbose` or `numbered` on the source's node.
    #[arg(long = "from-ufw-status", value_name = "FILE")]
    pub from_ufw_status: Option<PathBuf>,
    /// Output of `ufw show added` on the source's node.
    #[arg(
        long = "from-ufw-added",
        value_name = "FILE",
        conflicts_with_all = ["from_ufw_user_rules", "from_ufw_user6_rules"]
    )]
    pub from_ufw_added: Option<PathBuf>,
    /// /etc/ufw/user.rules of the source's node.
    #[arg(long = "from-ufw-user-rules", value_name = "FILE")]
    pub from_ufw_user_rules: Option<PathBuf>,
    /// /etc/ufw/user6.rules of the source's node.
    #[arg(long = "from-ufw-user6-rules", value_name = "FILE")]
    pub from_ufw_user6_rules: Option<PathBuf>,
    /// An address of the source's node with its prefix length; all of them or none.
    #[arg(long = "from-node-address", value_name = "ADDRESS/LENGTH")]
    pub from_addresses: Vec<String>,
    /// The interface that packets leave the source's node by.
    #[arg(long = "from-interface", value_name = "NAME")]
    pub from_interface: Option<String>,
    /// The mark of the socket that sends on the source's node.
    #[arg(
        long = "from-socket-mark",
        value_name = "MARK",
        conflicts_with = "from_pod"
    )]
    pub from_socket_mark: Option<String>,
    /// What sends is a pod with a network of its own: its node forwards the packets
    /// (FORWARD), or receives them where they are for an address of its own (INPUT),
    /// and does not send them itself (OUTPUT).
    #[arg(long = "from-pod")]
    pub from_pod: bool,
}

/// Routes and a firewall between two machines.
#[derive(Debug, Args)]
pub struct BetweenArgs {
    /// The route table of the source's subnet, as ARM returns it. With it,
    /// --vnet-prefix must be given: what stays in the network needs no route. Routes to
    /// service tags need --service-tags. No route is for the platform's own addresses
    /// (168.63.129.16, 169.254.169.254).
    #[arg(long, value_name = "FILE", requires = "vnet_prefixes")]
    pub route_table: Option<PathBuf>,
    /// An Azure Firewall with rules of its own, as ARM returns it. Without
    /// --route-table, every packet is taken to pass it.
    #[arg(long, value_name = "FILE", conflicts_with = "firewall_policies")]
    pub firewall: Option<PathBuf>,
    /// A firewall policy, as ARM returns it. Each of its parents must be given as well,
    /// in any order.
    #[arg(
        long = "firewall-policy",
        value_name = "FILE",
        requires = "rule_collections"
    )]
    pub firewall_policies: Vec<PathBuf>,
    /// The list of a policy's rule collection groups, as ARM returns it; one for each
    /// --firewall-policy, in the same order. Groups with an id are the policy's that it
    /// names.
    #[arg(long, value_name = "FILE", requires = "firewall_policies")]
    pub rule_collections: Vec<PathBuf>,
    /// The private address of the firewall, which routes name. A firewall with rules
    /// of its own says it itself.
    #[arg(long, value_name = "ADDRESS")]
    pub firewall_address: Option<String>,
    /// An IP group that rules of the firewall name, as ARM returns it.
    #[arg(long = "ip-group", value_name = "FILE")]
    pub ip_groups: Vec<PathBuf>,
}

/// What is known of the node whose rules are given; what is not is unknown in
/// the answer.
#[derive(Clone, Debug, Args)]
pub struct KnownNode {
    /// An address of the node with its prefix length; give all of them or none.
    /// Without them, packets between two different addresses are taken for those of
    /// two machines.
    #[arg(long = "node-address", value_name = "ADDRESS/LENGTH")]
    pub addresses: Vec<String>,
    /// The node's interface that packets arrive at or leave by.
    #[arg(long, value_name = "NAME")]
    pub interface: Option<String>,
    /// The interface by which packets arrive that the node passes on.
    #[arg(long, value_name = "NAME", conflicts_with = "interface")]
    pub in_interface: Option<String>,
    /// The interface by which packets leave that the node passes on.
    #[arg(long, value_name = "NAME", conflicts_with = "interface")]
    pub out_interface: Option<String>,
    /// The mark of the socket that sends on the node (SO_MARK), such as 0 or 0x4000.
    #[arg(long, value_name = "MARK")]
    pub socket_mark: Option<String>,
}

/// The packets. Their parts are read by the command, so that a wrong one fails
/// with a stable code.
#[derive(Debug, Args)]
pub struct PacketArgs {
    /// Source addresses: an address, a prefix such as 10.224.0.0/16, or first and
    /// last such as 10.224.0.4-10.224.0.9; several separated by commas.
    #[arg(long, value_name = "ADDRESSES", required = true, value_delimiter = ',')]
    pub from: Vec<String>,
    /// Destination addresses, written as the source addresses are.
    #[arg(long, value_name = "ADDRESSES", required = true, value_delimiter = ',')]
    pub to: Vec<String>,
    /// Destination port or ports and protocol (tcp, udp or sctp), such as 10250/tcp or
    /// 9000-9100/tcp; several separated by commas.
    #[arg(
        long,
        value_name = "PORT/PROTOCOL",
        required_unless_present = "protocol",
        value_delimiter = ','
    )]
    pub port: Vec<String>,
    /// A protocol without ports, in place of --port: icmp, icmpv6, esp, ah, gre or a
    /// number.
    #[arg(long, value_name = "PROTOCOL", conflicts_with_all = ["port", "source_port"])]
    pub protocol: Option<String>,
    /// Source port or ports. Where none is given, one packet comes from port 49152;
    /// packets of several addresses or ports, and those of a rule to place, from any.
    #[arg(long, value_name = "PORT", value_delimiter = ',')]
    pub source_port: Vec<String>,
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
    /// Through it: what a node passes on, such as its pods' packets.
    Forwarded,
}

impl From<DirectionArg> for Direction {
    fn from(direction: DirectionArg) -> Self {
        match direction {
            DirectionArg::Inbound => Self::Inbound,
            DirectionArg::Outbound => Self::Outbound,
            DirectionArg::Forwarded => Self::Forwarded,
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
    /// The list of service tags, as `az network list-service-tags` prints it.
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

/// A rule that needs a priority.
#[derive(Debug, Args)]
pub struct PlaceArgs {
    /// The network security group, as ARM returns it in JSON.
    #[arg(long, value_name = "FILE")]
    pub nsg: PathBuf,
    /// The name of the new rule.
    #[arg(long, value_name = "NAME")]
    pub name: String,
    /// What the rule does with its packets.
    #[arg(long, value_enum, default_value_t)]
    pub access: AccessArg,
    /// The packets that the rule is for.
    #[command(flatten)]
    pub packets: PacketArgs,
    /// Source addresses that the rule matches, where they are more than those of the
    /// packets it is for; or one service tag, or "*" for any.
    #[arg(long, value_name = "ADDRESSES", value_delimiter = ',')]
    pub rule_from: Vec<String>,
    /// Destination addresses that the rule matches, or one service tag, or "*".
    #[arg(long, value_name = "ADDRESSES", value_delimiter = ',')]
    pub rule_to: Vec<String>,
    /// A rule that must keep its number.
    #[arg(long = "pin", value_name = "RULE")]
    pub pinned: Vec<String>,
    /// What service tags stand for.
    #[command(flatten)]
    pub network: KnownNetwork,
}

/// What a rule of a security group does.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub enum AccessArg {
    /// Let packets pass.
    #[default]
    Allow,
    /// Stop them.
    Deny,
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
    /// Output of `ufw status verbose` on the node, which says whether ufw is active
    /// and what happens where no rule decides; of the other kinds of ufw's rules.
    #[arg(long, value_name = "FILE")]
    pub ufw_status: Option<PathBuf>,
    /// What is known of the node; of rules of iptables and ufw.
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
    /// A network security group in JSON, as ARM returns it or `az network nsg show` prints
    /// it; files of other resources of Azure may have either form, too.
    Nsg,
    /// Output of iptables-save.
    Iptables,
    /// Output of ip6tables-save.
    Ip6tables,
    /// Output of `ufw status verbose` or `ufw status numbered`.
    UfwStatus,
    /// Output of `ufw show added`.
    UfwAdded,
    /// /etc/ufw/user.rules.
    UfwUserRules,
    /// /etc/ufw/user6.rules.
    UfwUser6Rules,
}
